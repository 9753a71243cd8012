//! Tables as Hugging Face's `datasets` library writes them.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::labelled_images;

pub(crate) fn files() -> Vec<Vec<u8>> {
    let kinds = [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::LZ4_RAW];
    kinds.map(|kind| file(kind).expect("memory can be written")).into()
}

fn file(compression: Compression) -> Result<Vec<u8>> {
    let schema = "message schema { optional group image { optional binary bytes; optional binary path (STRING); } \
                  optional int64 label; }";
    let properties =
        WriterProperties::builder().set_compression(compression).set_data_page_row_count_limit(2).build();
    let images: Vec<ByteArray> = labelled_images().into_iter().map(|(_, image)| image.into()).collect();
    let mut out = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut out, Arc::new(parse_message_type(schema)?), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for i in 0..3 {
        let Some(mut column) = group.next_column()? else { break };
        match i {
            0 => drop(column.typed::<ByteArrayType>().write_batch(&images, Some(&[2; 4]), None)?),
            1 => drop(column.typed::<ByteArrayType>().write_batch(&[], Some(&[1; 4]), None)?),
            _ => drop(column.typed::<Int64Type>().write_batch(&[0, 1, 2, 1], Some(&[1; 4]), None)?),
        }
        column.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(out)
}
