use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::testing::{Folder, png};
use crate::{Options, Split};

/// A file as the `datasets` library writes it: rows of an image and a label, so many a group.
pub(crate) fn parquet(rows: &[(Option<&[u8]>, i64)], per_group: usize, names: Option<&[&str]>) -> Vec<u8> {
    paged(rows, per_group, names, 3)
}

/// The same with so many rows a page.
fn paged(
    rows: &[(Option<&[u8]>, i64)],
    per_group: usize,
    names: Option<&[&str]>,
    per_page: usize,
) -> Vec<u8> {
    let schema = "message schema { optional group image { optional binary bytes; optional binary path (STRING); } \
                  optional int64 label; }";
    let about = serde_json::json!({"info": {"features": {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": names},
    }}});
    let about = names.map(|_| vec![KeyValue::new("huggingface".to_owned(), about.to_string())]);
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(about)
        .set_data_page_row_count_limit(per_page)
        .set_write_batch_size(1)
        .build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut out = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut out, schema, Arc::new(properties)).unwrap();
    for rows in rows.chunks(per_group) {
        let mut group = writer.next_row_group().unwrap();
        let images: Vec<ByteArray> =
            rows.iter().filter_map(|row| row.0).map(|image| image.to_vec().into()).collect();
        let levels: Vec<i16> = rows.iter().map(|row| if row.0.is_some() { 2 } else { 0 }).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&images, Some(&levels), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&[], Some(&vec![1; rows.len()]), None).unwrap();
        column.close().unwrap();
        let labels: Vec<i64> = rows.iter().map(|row| row.1).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&labels, Some(&vec![1; rows.len()]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    out
}

fn open(folder: &Folder, path: &str, split: Split) -> Result<Dataset, String> {
    let root = folder.0.to_str().unwrap();
    Dataset::open(folder.0.join(path), &Options::split(split)).map_err(|e| e.to_string().replace(root, "T"))
}

#[test]
fn images_and_labels_are_read_in_any_order() {
    let folder = Folder::new();
    let images: Vec<Vec<u8>> = (0..40).map(png).collect();
    let rows: Vec<(Option<&[u8]>, i64)> =
        images.iter().zip(0..).map(|(i, n)| (Some(i.as_slice()), n % 3)).collect();
    folder.file("x.parquet", parquet(&rows, 16, Some(&["owl", "auk", "elk"])));
    let set = open(&folder, "x.parquet", Split::Test).unwrap();
    assert_eq!((set.classes.join(" "), set.len()), ("owl auk elk".into(), 40));
    assert!(set.describe().ends_with("x.parquet (Parquet): 40 images, 3 classes"), "{}", set.describe());
    for i in (0..40).chain([39, 0, 17, 3, 16, 15, 31, 32]) {
        assert_eq!(set.load(i).unwrap().data(), vec![i as u8; 18], "{i}");
        assert_eq!(set.samples[i].class, i % 3);
    }
    assert_eq!(set.samples[7].path, "x-000007");
    let digest = set.digest().unwrap();
    assert_eq!(open(&folder, "x.parquet", Split::Train).unwrap().digest().unwrap(), digest);
    // Many threads, each its own row.
    std::thread::scope(|scope| {
        for t in 0..4 {
            let set = &set;
            scope.spawn(move || {
                (t..40).step_by(4).for_each(|i| assert_eq!(set.load(i).unwrap().data()[0], i as u8))
            });
        }
    });
    folder.file("classes.txt", "elk\nowl\nemu\nauk\n");
    let set = open(&folder, "x.parquet", Split::Test).unwrap();
    assert_eq!((set.classes.len(), set.samples[0].class, set.samples[2].class), (4, 1, 0));
}

#[test]
fn shards_and_parts_are_found() {
    let folder = Folder::new();
    let (one, two) = (png(1), png(2));
    let shard = |rows: &[(Option<&[u8]>, i64)]| parquet(rows, 9, None);
    folder.file("set/README.md", "");
    folder.file("set/data/train-00000-of-00002.parquet", shard(&[(Some(&one), 0), (Some(&two), 11)]));
    folder.file("set/data/train-00001-of-00002.parquet", shard(&[(Some(&two), 2)]));
    folder.file("set/data/validation-00000-of-00001.parquet", shard(&[(Some(&one), 1)]));
    for path in
        ["set", "set/data", "set/data/train-*.parquet", "set/data/train-{00000..00001}-of-00002.parquet"]
    {
        let set = open(&folder, path, Split::Train).unwrap();
        assert_eq!((set.len(), set.classes.len(), set.classes[11].as_str()), (3, 12, "11"), "{path}");
        assert_eq!(set.load(2).unwrap().data(), vec![2; 18]);
    }
    let test = open(&folder, "set", Split::Test).unwrap();
    assert_eq!(test.samples[0].path, "validation-00000-of-00001-000000");
    let report = crate::check::check(folder.0.join("set"), 2, &mut |_, _| true).unwrap().unwrap();
    assert_eq!(report.parts.iter().map(|p| p.images).collect::<Vec<_>>(), [3, 1]);
    std::fs::remove_file(folder.0.join("set/data/validation-00000-of-00001.parquet")).unwrap();
    assert_eq!(
        open(&folder, "set", Split::Test).unwrap_err(),
        "T/set: expected files of the part test or validation, found the parts train"
    );
}

#[test]
fn what_is_wrong_is_said() {
    let folder = Folder::new();
    let image = png(1);
    let fail = |bytes: Vec<u8>| {
        folder.file("x.parquet", bytes);
        open(&folder, "x.parquet", Split::Train).unwrap_err()
    };
    let rows = [(Some(&image[..]), 0), (Some(&image[..]), -1)];
    let error = fail(parquet(&rows, 9, None));
    assert!(
        error.contains("x.parquet: x-000001: expected a label from 0 to") && error.ends_with("found -1"),
        "{error}"
    );
    let error = fail(parquet(&[rows[0], (None, 5)], 9, Some(&["a", "b"])));
    assert!(error.ends_with("expected labels below 2, the number of class names, found 5"), "{error}");
    let whole = parquet(&[rows[0], (None, 1)], 9, Some(&["a", "b"]));
    assert!(
        fail(whole[..whole.len() - 9].to_vec()).starts_with("T/x.parquet: expected a whole Parquet file")
    );
    // Rows that repeat take no room.
    let error = fail(paged(&vec![(None, 0); 20_000], 20_000, Some(&["a", "b"]), 20_000));
    assert!(
        error.starts_with(
            "T/x.parquet: expected a Parquet file with an image in each row, found 20000 rows in"
        ),
        "{error}"
    );
    folder.file("x.parquet", &whole);
    let set = open(&folder, "x.parquet", Split::Train).unwrap();
    assert!(set.load(0).is_ok());
    assert!(
        set.load(1).unwrap_err().to_string().ends_with("x.parquet: expected an image in row 1, found none")
    );
}
