use std::collections::VecDeque;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dyntta_files::catch;
use parquet::basic::Type;
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, Length};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::schema::types::ColumnDescPtr;
use serde_json::Value;

use crate::classes::{self, ClassList, Number, beside, normal, number};
use crate::left_out::LeftOut;
use crate::store::{Archive, Bytes, Encoding, Place, Store};
use crate::{Dataset, Error, Sample};

/// Files that are held open.
const MOST_OPEN: usize = 200;
/// Rows that are read at once: so many that they have about these bytes.
const BLOCK: i64 = 4 << 20;
const MOST_ROWS: i64 = 4096;
/// The most rows, of all files together.
const MOST_IMAGES: u64 = 10_000_000;
/// Blocks kept, of all files together.
const KEPT: usize = 8;
/// The most classes that numbers may name.
const MOST_CLASSES: usize = 1 << 20;

/// Rows that were read: file, first row, images.
type Block = (usize, u64, Vec<Vec<u8>>);

/// A file with images.
pub(crate) struct Table {
    number: usize,
    reader: SerializedFileReader<Source>,
    source: Source,
    image: usize,
    groups: Vec<Group>,
    kept: Arc<Mutex<VecDeque<Block>>>,
}

/// A stretch of rows that is stored together.
struct Group {
    first: u64,
    rows: u64,
    block: u64,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("source", &self.source).finish_non_exhaustive()
    }
}

/// A file that the library reads from, at given positions and from many threads.
#[derive(Clone, Debug)]
struct Source(Arc<Archive>);

impl Length for Source {
    fn len(&self) -> u64 {
        self.0.len
    }
}

struct Position {
    source: Source,
    at: u64,
}

impl Read for Position {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let n = (self.source.0.len.saturating_sub(self.at)).min(out.len() as u64) as usize;
        let bytes = self.source.0.read_at(self.at, n).map_err(std::io::Error::other)?;
        out[..n].copy_from_slice(&bytes);
        self.at += n as u64;
        Ok(n)
    }
}

impl ChunkReader for Source {
    type T = BufReader<Position>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(BufReader::new(Position { source: self.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<bytes::Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.0.len) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} of {}", self.0.len)));
        }
        let bytes = self.0.read_at(start, length).map_err(|e| ParquetError::External(Box::new(e)))?;
        Ok(bytes.into())
    }
}

/// What the library gives; it panics on some damaged files.
fn guarded<T>(path: &Path, work: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T, Error> {
    let found = match catch(work) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "data on which the reader failed".into(),
    };
    Err(Error::layout(path.display(), "a whole Parquet file", found))
}

impl Table {
    pub fn path(&self) -> &Path {
        &self.source.0.path
    }

    /// The bytes of the image in a row.
    pub fn image(&self, row: u64) -> Result<Vec<u8>, Error> {
        // Held while a block is read: whoever waits most often wants an image of that block.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |block: &Block| {
            block.0 == self.number && row.checked_sub(block.1).is_some_and(|i| i < block.2.len() as u64)
        };
        let block = match kept.iter().position(holds).and_then(|i| kept.remove(i)) {
            Some(block) => block,
            None => {
                let (first, images) = self.read_block(row)?;
                (self.number, first, images)
            }
        };
        let image =
            usize::try_from(row - block.1).ok().and_then(|i| block.2.get(i)).cloned().unwrap_or_default();
        kept.push_front(block);
        kept.truncate(KEPT);
        if image.is_empty() {
            return Err(Error::layout(self.path().display(), format!("an image in row {row}"), "none"));
        }
        Ok(image)
    }

    /// Reads the block that a row is in: its first row, and the images; one that isn't there is empty.
    fn read_block(&self, row: u64) -> Result<(u64, Vec<Vec<u8>>), Error> {
        let at = self.groups.partition_point(|group| group.first + group.rows <= row);
        let Some(group) = self.groups.get(at) else {
            return Err(Error::layout(self.path().display(), format!("row {row}"), "no such row"));
        };
        let skipped = (row - group.first) / group.block * group.block;
        let wanted = group.block.min(group.rows - skipped) as usize;
        let images = guarded(self.path(), || {
            let mut column = self.reader.get_row_group(at)?.get_column_reader(self.image)?;
            let ColumnReader::ByteArrayColumnReader(ref mut column) = column else {
                return Err(ParquetError::General("no column of bytes".into()));
            };
            column.skip_records(skipped as usize)?;
            let (mut values, mut levels) = (Vec::new(), Vec::new());
            while levels.len() < wanted {
                if column.read_records(wanted - levels.len(), Some(&mut levels), None, &mut values)?.0 == 0 {
                    break;
                }
            }
            let most = column_depth(&self.reader, self.image);
            Ok(by_row(values, &levels, most, wanted))
        })?;
        Ok((group.first + skipped, images))
    }
}

/// The definition level of a value that is there.
fn column_depth(reader: &SerializedFileReader<Source>, column: usize) -> i16 {
    reader.metadata().file_metadata().schema_descr().column(column).max_def_level()
}

/// The values in their rows. A column that must have a value has no levels.
fn by_row(values: Vec<ByteArray>, levels: &[i16], most: i16, rows: usize) -> Vec<Vec<u8>> {
    let mut values = values.into_iter().map(|value| value.data().to_vec());
    if levels.is_empty() {
        return values.collect();
    }
    let value = |&level: &i16| if level == most { values.next().unwrap_or_default() } else { Vec::new() };
    levels.iter().take(rows).map(value).collect()
}

/// Which columns are which, and the names of the classes, where the file says them.
struct Columns {
    image: usize,
    label: usize,
    names: Option<Vec<String>>,
}

fn columns(path: &Path, reader: &SerializedFileReader<Source>) -> Result<Columns, Error> {
    let metadata = reader.metadata().file_metadata();
    let about = metadata.key_value_metadata().into_iter().flatten().find(|pair| pair.key == "huggingface");
    let about: Value = about
        .and_then(|pair| pair.value.as_deref())
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let features = &about["info"]["features"];
    let is_feature = |name: &str, kind: &str| features[name]["_type"] == kind;
    let leaves = metadata.schema_descr().columns();
    let root = |leaf: &ColumnDescPtr| leaf.path().parts().first().cloned().unwrap_or_default();
    let single = |leaf: &&ColumnDescPtr| leaf.max_rep_level() == 0;
    let place = |leaf: &ColumnDescPtr| leaves.iter().position(|l| Arc::ptr_eq(l, leaf)).unwrap_or_default();
    // The only one, or the first of these names.
    let choose = |found: Vec<&ColumnDescPtr>, names: &[&str]| match found.as_slice() {
        [one] => Some(place(one)),
        several => names
            .iter()
            .find_map(|name| several.iter().find(|leaf| root(leaf) == *name))
            .map(|leaf| place(leaf)),
    };
    let pick = |fits: &dyn Fn(&ColumnDescPtr) -> bool, names: &[&str]| {
        choose(leaves.iter().filter(single).filter(|leaf| fits(leaf)).collect(), names)
    };
    const IMAGES: [&str; 6] = ["image", "img", "jpg", "png", "picture", "bytes"];
    const LABELS: [&str; 7] = ["label", "labels", "fine_label", "class", "cls", "category", "target"];
    let bytes = |leaf: &ColumnDescPtr| leaf.physical_type() == Type::BYTE_ARRAY;
    let in_struct =
        |leaf: &ColumnDescPtr| bytes(leaf) && leaf.path().parts().len() == 2 && leaf.name() == "bytes";
    let image = pick(&|leaf| in_struct(leaf) && is_feature(&root(leaf), "Image"), &IMAGES)
        .or_else(|| pick(&in_struct, &IMAGES))
        .or_else(|| {
            pick(
                &|leaf| bytes(leaf) && leaf.path().parts().len() == 1 && IMAGES.contains(&leaf.name()),
                &IMAGES,
            )
        });
    let flat = |leaf: &ColumnDescPtr| leaf.path().parts().len() == 1;
    let label = pick(&|leaf| flat(leaf) && is_feature(leaf.name(), "ClassLabel"), &LABELS)
        .or_else(|| pick(&|leaf| flat(leaf) && LABELS.contains(&leaf.name()), &LABELS));
    let (Some(image), Some(label)) = (image, label) else {
        let expected = "a column image with the bytes of image files, and a column label";
        let paths: Vec<String> = leaves.iter().map(|leaf| leaf.path().string()).collect();
        return Err(Error::layout(
            path.display(),
            expected,
            format!("the columns {}", crate::error::list(&paths)),
        ));
    };
    let names = features[leaves[label].name()]["names"].as_array();
    let names = names.map(|names| names.iter().filter_map(|name| name.as_str().map(normal)).collect());
    Ok(Columns { image, label, names })
}

/// A column of labels as text.
fn labels(path: &Path, reader: &SerializedFileReader<Source>, column: usize) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    for group in 0..reader.num_row_groups() {
        let texts = guarded(path, || {
            let group = reader.get_row_group(group)?;
            let rows = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
            macro_rules! read {
                ($column:expr, $text:expr) => {{
                    let (mut values, mut levels) = (Vec::new(), Vec::new());
                    while $column.read_records(rows, Some(&mut levels), None, &mut values)?.0 > 0 {}
                    values.into_iter().map($text).collect::<Vec<String>>()
                }};
            }
            let texts = match group.get_column_reader(column)? {
                ColumnReader::Int32ColumnReader(mut column) => read!(column, |v: i32| v.to_string()),
                ColumnReader::Int64ColumnReader(mut column) => read!(column, |v: i64| v.to_string()),
                ColumnReader::ByteArrayColumnReader(mut column) => {
                    read!(column, |v: ByteArray| normal(&String::from_utf8_lossy(v.data())))
                }
                _ => {
                    return Err(ParquetError::General(
                        "labels that are neither whole numbers nor names".into(),
                    ));
                }
            };
            if texts.len() != rows {
                return Err(ParquetError::General(format!("{} labels in {rows} rows", texts.len())));
            }
            Ok(texts)
        })?;
        all.extend(texts);
    }
    Ok(all)
}

fn table(
    path: &Path,
    number: usize,
    held: bool,
    kept: &Arc<Mutex<VecDeque<Block>>>,
) -> Result<(Table, Columns), Error> {
    let archive = Archive::open(path)?;
    let source = Source(Arc::new(if held { archive } else { archive.closed() }));
    let reader = guarded(path, || SerializedFileReader::new(source.clone()))?;
    let columns = columns(path, &reader)?;
    let (mut groups, mut first) = (Vec::new(), 0_u64);
    for group in reader.metadata().row_groups() {
        let (rows, bytes) = (group.num_rows(), group.column(columns.image).uncompressed_size());
        if rows < 0 || bytes < 0 || rows as u64 > MOST_IMAGES - first {
            return Err(Error::layout(
                path.display(),
                "a whole Parquet file",
                format!("{rows} rows of {bytes} bytes"),
            ));
        }
        // Labels that repeat take no room in a file; their images do.
        if first + rows as u64 > source.len() {
            let found = format!("{} rows in {} bytes", first + rows as u64, source.len());
            return Err(Error::layout(path.display(), "a Parquet file with an image in each row", found));
        }
        let each = (bytes / rows.max(1)).max(1);
        groups.push(Group { first, rows: rows as u64, block: (BLOCK / each).clamp(1, MOST_ROWS) as u64 });
        first += rows as u64;
    }
    Ok((Table { number, reader, source, image: columns.image, groups, kept: kept.clone() }, columns))
}

/// The data set of files that have the same columns.
pub(super) fn open_files(path: &Path, files: &[PathBuf]) -> Result<Dataset, Error> {
    let name = path.display().to_string();
    let kept = Arc::default();
    let (mut tables, mut texts, mut samples) = (Vec::new(), Vec::new(), Vec::new());
    let mut names: Option<Option<Vec<String>>> = None;
    for (number, file) in files.iter().enumerate() {
        let (table, columns) = table(file, number, files.len() <= MOST_OPEN, &kept)?;
        if let Some(first) = names.as_ref().filter(|first| **first != columns.names) {
            let list = |names: &Option<Vec<String>>| {
                names.as_ref().map_or("none".into(), |names| crate::error::list(names))
            };
            let expected = format!("the class names of {}: {}", files[0].display(), list(first));
            return Err(Error::layout(file.display(), expected, list(&columns.names)));
        }
        let labels = labels(file, &table.reader, columns.label)?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        samples.extend((0..labels.len()).map(|row| Sample {
            path: format!("{stem}-{row:06}"),
            class: 0,
            place: Place::Row { file: number as u32, row: row as u64 },
        }));
        texts.extend(labels);
        if samples.len() as u64 > MOST_IMAGES {
            return Err(Error::layout(file.display(), format!("at most {MOST_IMAGES} rows in all"), "more"));
        }
        names = Some(columns.names);
        tables.push(table);
    }
    if samples.is_empty() {
        return Err(Error::layout(name, "rows with images", "none"));
    }
    let folder = if path.is_dir() { path.to_owned() } else { beside(path) };
    let list = ClassList::find(&[&folder])?;
    let classes = label(&name, texts, &mut samples, names.flatten(), list)?;
    let store = Arc::new(Store { bytes: Bytes::Tables(tables), encoding: Encoding::ImageFile });
    let (layout, left_out, notes) = ("Parquet", LeftOut::default(), Vec::new());
    let set = Dataset {
        classes: classes.0,
        samples,
        left_out,
        notes,
        name,
        layout,
        store,
        exif: dyntta_image::Exif::Ignore,
        skipped: None,
    };
    match classes.1 {
        Some(list) => {
            let found = set.classes.iter().cloned().collect();
            let ordered = classes::resolve(&set.name, Some(list), found)?;
            set.with_classes(&ordered.names)
        }
        None => Ok(set),
    }
}

/// Gives every sample its class: by name, or by the number of one. The classes, and the list that they are still to be brought
/// into the order of.
fn label(
    name: &str,
    texts: Vec<String>,
    samples: &mut [Sample],
    names: Option<Vec<String>>,
    list: Option<ClassList>,
) -> Result<(Vec<String>, Option<ClassList>), Error> {
    if texts.iter().any(|text| number(text).is_none()) {
        let ordered = classes::resolve(name, list, texts.iter().cloned().collect())?;
        let index = classes::index(&ordered.names);
        texts
            .iter()
            .zip(samples)
            .for_each(|(text, sample)| sample.class = index.get(text).copied().unwrap_or_default());
        return Ok((ordered.names, None));
    }
    for (text, sample) in texts.iter().zip(samples.iter_mut()) {
        match number(text) {
            Some(Number::Whole(value)) if value < MOST_CLASSES as u64 => sample.class = value as usize,
            _ => {
                let expected = format!(
                    "a label from 0 to {} for every image (-1 says that there is none)",
                    MOST_CLASSES - 1
                );
                return Err(Error::layout(format!("{name}: {}", sample.path), expected, text.as_str()));
            }
        }
    }
    let count = samples.iter().map(|sample| sample.class + 1).max().unwrap_or(0);
    // The names that the numbers have in the file go before those beside it, which then give another order.
    let (names, list) = match (names, list) {
        (Some(names), list) => (names, list),
        (None, Some(list)) => (list.names, None),
        (None, None) => ((0..count).map(|i| i.to_string()).collect(), None),
    };
    if names.len() < count {
        let expected = format!("labels below {}, the number of class names", names.len());
        return Err(Error::layout(name, expected, (count - 1).to_string()));
    }
    classes::once(name, &names)?;
    Ok((classes::at_least_two(name, names)?, list))
}

#[cfg(test)]
pub(crate) mod tests;
