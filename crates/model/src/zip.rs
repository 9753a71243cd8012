//! The entries of a zip archive by name. Only what is stored without compression can be read: PyTorch writes nothing else.
//!
//! The archive's directory says what there is and where; of an entry's own header only the length counts, since writers
//! leave its other fields empty or pad it.

use std::collections::BTreeMap;

use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ZipLocator};

use crate::source::Source;

/// An entry of an archive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Where its bytes begin.
    pub start: u64,
    /// How many there are.
    pub bytes: u64,
    /// Their CRC-32; none where the writer left it out.
    pub crc: Option<u32>,
    /// Whether they lie there as they are.
    pub stored: bool,
}

/// The entries of the archive in `source`, at most `limit`.
///
/// # Errors
/// What is wrong with the archive, in words.
pub(crate) fn entries(source: &Source, limit: usize) -> Result<BTreeMap<String, Entry>, String> {
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let archive =
        ZipLocator::new().locate_in_reader(source, &mut buffer, source.len()).map_err(|(_, error)| {
            format!("a zip archive without its directory, as of a download that broke off ({error})")
        })?;
    let damaged = |error: rawzip::Error| format!("a damaged zip archive ({error})");
    let mut found = Vec::new();
    let mut entries = archive.entries(&mut buffer);
    while let Some(entry) = entries.next_entry().map_err(damaged)? {
        if found.len() >= limit {
            return Err(format!("a zip archive of more than {limit} entries"));
        }
        let path = entry.file_path();
        let name = String::from_utf8_lossy(path.as_ref()).into_owned();
        let stored = entry.compression_method() == CompressionMethod::STORE && !entry.flags().is_encrypted();
        found.push((name, entry.wayfinder(), entry.crc32(), stored));
    }
    let mut all = BTreeMap::new();
    for (name, wayfinder, crc, stored) in found {
        let (start, end) = archive.get_entry(wayfinder).map_err(damaged)?.compressed_data_range();
        if end > source.len() {
            return Err(format!(
                "a zip archive whose entry `{}` ends beyond the file",
                dyntta_files::shown_text(&name)
            ));
        }
        // `torch.save` may be told not to compute it, and then writes 0.
        let crc = (crc != 0).then_some(crc);
        all.insert(name, Entry { start, bytes: end.saturating_sub(start), crc, stored });
    }
    Ok(all)
}
