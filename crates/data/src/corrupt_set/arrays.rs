//! The layout of CIFAR-10-C: an array a corruption, severity after severity, and one of the labels.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use dyntta_corrupt::{Corruption, Severity};
use dyntta_files::{hex, sha256, write_atomic, write_with};
use sha2::{Digest, Sha256};

use super::manifest::Record;
use super::{CorruptSummary, Work};
use crate::{Error, npy};

const LABELS: &str = "labels.npy";
const LEVELS: usize = Severity::ALL.len();

impl Work<'_> {
    pub(super) fn write_arrays(
        &self,
        record: &mut Record,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<CorruptSummary, Error> {
        let mut summary = CorruptSummary::default();
        let Some(rows) = self.rows(&mut summary, record)? else { return Ok(summary) };
        let total = (rows.indices.len() * LEVELS * self.settings.corruptions.len()) as u64;
        progress(0, total);

        let classes = self.data.classes.len();
        let label = |i: &usize| self.data.samples[*i].class;
        let one_level: Vec<usize> = rows.indices.iter().map(label).collect();
        let labels = npy::labels_file(&one_level.repeat(LEVELS), classes);
        write_atomic(self.out.join(LABELS), &labels)?;
        record.add(LABELS.into(), hex(&Sha256::digest(&labels)));

        for &corruption in &self.settings.corruptions {
            let file = format!("{corruption}.npy");
            let each = (rows.indices.len() * LEVELS) as u64;
            let hash = match kept(&self.out.join(&file), &rows.shape(), record.before(&file))? {
                Some(hash) => {
                    summary.kept += each;
                    hash
                }
                None => {
                    let before = summary.written + summary.kept;
                    let mut done = |n: u64| progress(before + n, total);
                    let Some(hash) = self.write_array(corruption, &rows, &mut done)? else {
                        return Ok(summary);
                    };
                    summary.written += each;
                    hash
                }
            };
            record.add(file, hash);
            progress(summary.written + summary.kept, total);
        }
        summary.complete = true;
        Ok(summary)
    }

    /// The images that can be read, all of one size; `None` if stopped.
    fn rows(&self, summary: &mut CorruptSummary, record: &mut Record) -> Result<Option<Rows>, Error> {
        let n = self.data.len();
        let mut sizes: Vec<Option<Result<(usize, usize), Error>>> = Vec::new();
        sizes.resize_with(n, || None);
        self.watch.for_each(
            n,
            self.settings.threads,
            |i| self.load(i).map(|image| (image.width(), image.height())),
            |i, size| {
                if size.is_err() && !self.settings.skip_bad {
                    self.watch.fail();
                }
                sizes[i] = Some(size);
            },
        );
        let mut rows = Rows { indices: Vec::new(), width: 0, height: 0 };
        let mut missing = false;
        for (i, size) in sizes.into_iter().enumerate() {
            let path = &self.data.samples[i].path;
            match size {
                None => missing = true,
                Some(Err(error)) if !self.settings.skip_bad => return Err(error),
                Some(Err(error)) => {
                    record.skip(path);
                    summary.skipped.push(error);
                }
                Some(Ok((width, height))) => {
                    if rows.indices.is_empty() {
                        (rows.width, rows.height) = (width, height);
                    } else if (rows.width, rows.height) != (width, height) {
                        let expected =
                            format!("images of {}x{} pixels, as the first", rows.width, rows.height);
                        let name = format!("{}:{path}", self.data.name());
                        return Err(Error::layout(name, expected, format!("{width}x{height}")));
                    }
                    rows.indices.push(i);
                }
            }
        }
        if missing {
            return Ok(None);
        }
        if rows.indices.is_empty() {
            return Err(summary.skipped.swap_remove(0));
        }
        Ok(Some(rows))
    }

    /// Writes one array and gives its hash; `None` if stopped.
    fn write_array(
        &self,
        corruption: Corruption,
        rows: &Rows,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Option<String>, Error> {
        let path = self.out.join(format!("{corruption}.npy"));
        let mut filled = None;
        let written = write_with(&path, false, |file| {
            let result = filled.insert(self.fill(&path, corruption, rows, file, progress));
            // Of anything but a whole array nothing is to stay.
            if matches!(result, Ok(Some(_))) { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
        });
        match filled {
            Some(Ok(Some(hash))) => Ok(written.map(|()| Some(hash))?),
            Some(result) => result,
            None => Ok(written.map(|()| None)?),
        }
    }

    /// Fills an empty file with an array.
    fn fill(
        &self,
        path: &Path,
        corruption: Corruption,
        rows: &Rows,
        file: &mut File,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Option<String>, Error> {
        let fail = |e| Error::io(path, "write", e);
        let header = npy::header("|u1", &rows.shape());
        file.write_all(&header).map_err(fail)?;

        let row_bytes = rows.width * rows.height * 3;
        let n = rows.indices.len();
        let shared = Mutex::new(&mut *file);
        let (mut failed, mut done) = (None, 0);
        self.watch.for_each(
            n,
            self.settings.threads,
            |row| -> Result<(), Error> {
                let index = rows.indices[row];
                let clean = self.load(index)?;
                for (level, severity) in Severity::ALL.into_iter().enumerate() {
                    let image = self.corrupt(&clean, corruption, severity, index);
                    let offset = header.len() as u64 + (level * n + row) as u64 * row_bytes as u64;
                    let mut file = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    file.seek(SeekFrom::Start(offset)).map_err(fail)?;
                    file.write_all(image.data()).map_err(fail)?;
                }
                Ok(())
            },
            |_, result| match result {
                Ok(()) => {
                    done += 1;
                    progress((done * LEVELS) as u64);
                }
                Err(error) => {
                    self.watch.fail();
                    failed = Some(error);
                }
            },
        );
        if let Some(error) = failed {
            return Err(error);
        }
        if done < n {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(0)).map_err(fail)?;
        Ok(Some(sha256(file).map_err(fail)?))
    }
}

/// What the rows of a severity are: images of the data set, and their size.
struct Rows {
    indices: Vec<usize>,
    width: usize,
    height: usize,
}

impl Rows {
    fn shape(&self) -> [usize; 4] {
        [self.indices.len() * LEVELS, self.height, self.width, 3]
    }
}

/// The hash of the array if it is there and whole: if it has the hash it had or, where none is known, the shape.
fn kept(path: &Path, shape: &[usize], before: Option<&str>) -> Result<Option<String>, Error> {
    let Ok(array) = npy::open(path) else { return Ok(None) };
    if array.kind != "|u1" || array.shape != shape {
        return Ok(None);
    }
    let fail = |e| Error::io(path, "read", e);
    let hash = sha256(File::open(path).map_err(fail)?).map_err(fail)?;
    Ok(before.is_none_or(|before| before == hash).then_some(hash))
}
