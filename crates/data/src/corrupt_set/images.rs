//! The layout of ImageNet-C: `corruption/severity/class/file`.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use dyntta_files::{Limits, hex, read, write_with};
use dyntta_image::EXTENSIONS;
use sha2::{Digest, Sha256};

use super::manifest::Record;
use super::{CorruptSummary, FileFormat, Work};
use crate::{Dataset, Error};

/// `class/file` of each image in the corrupted set.
///
/// A path that begins with its class stays as it is, another is put below its class; steps out of the data set's folder are
/// left out. The extension becomes that of the format, but for a JPEG's own (ImageNet's `.JPEG`).
///
/// # Errors
/// A class or path that cannot be the name of a file that readers look at, or two images with one name.
pub(super) fn names(data: &Dataset, format: FileFormat) -> Result<Vec<String>, Error> {
    let bad = |what: &str, found: &str| {
        let expected = format!("{what} that can be a file name and doesn't begin with a dot");
        Error::layout(data.name(), expected, format!("{found:?}"))
    };
    let fits =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\\', '\0', '\n']);
    let mut owners: HashMap<String, &str> = HashMap::with_capacity(data.len());
    let mut names = Vec::with_capacity(data.len());
    for sample in &data.samples {
        let class = &data.classes[sample.class];
        if !fits(class) {
            return Err(bad("a class", class));
        }
        let slashes = sample.path.replace('\\', "/");
        let inside = slashes.strip_prefix(&format!("{class}/")).unwrap_or(&slashes);
        let parts: Vec<&str> = inside.split('/').filter(|p| !matches!(*p, "" | "." | "..")).collect();
        if parts.is_empty() || !parts.iter().all(|p| fits(p)) {
            return Err(bad("a path", &sample.path));
        }
        let name = format!("{class}/{}", with_extension(&parts.join("/"), format));
        if let Some(other) = owners.insert(name.clone(), &sample.path) {
            let found = format!("{other} and {}, which would both be written to {name}", sample.path);
            return Err(Error::layout(data.name(), "images with different names", found));
        }
        names.push(name);
    }
    Ok(names)
}

fn with_extension(path: &str, format: FileFormat) -> String {
    let (stem, extension) = match path.rsplit_once('.') {
        Some((stem, e)) if EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(e)) => (stem, e),
        _ => (path, ""),
    };
    let is_jpeg = ["jpg", "jpeg"].iter().any(|e| e.eq_ignore_ascii_case(extension));
    match format {
        FileFormat::Png => format!("{stem}.png"),
        FileFormat::Jpeg(_) if is_jpeg => path.to_owned(),
        FileFormat::Jpeg(_) => format!("{stem}.jpg"),
    }
}

/// What was done for one image.
#[derive(Default)]
struct Done {
    /// Path, hash, and whether it was written now.
    files: Vec<(String, String, bool)>,
    /// Why there is no more.
    unreadable: Option<Error>,
}

impl Work<'_> {
    pub(super) fn write_images(
        &self,
        names: &[String],
        format: FileFormat,
        record: &mut Record,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<CorruptSummary, Error> {
        let total = self.total();
        progress(0, total);
        let mut summary = CorruptSummary::default();
        let (mut unreadable, mut failed) = (Vec::new(), None);
        let mut results: Vec<Done> = Vec::new();
        self.watch.for_each(
            names.len(),
            self.settings.threads,
            |i| self.write_image(i, &names[i], format, record),
            |i, result| match result {
                Ok(done) => {
                    for (_, _, fresh) in &done.files {
                        *(if *fresh { &mut summary.written } else { &mut summary.kept }) += 1;
                    }
                    progress(summary.written + summary.kept, total);
                    results.push(Done { files: done.files, unreadable: None });
                    if let Some(error) = done.unreadable {
                        if !self.settings.skip_bad {
                            self.watch.fail();
                        }
                        unreadable.push((i, error));
                    }
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
        unreadable.sort_by_key(|(i, _)| *i);
        if !unreadable.is_empty() && (!self.settings.skip_bad || unreadable.len() == names.len()) {
            return Err(unreadable.swap_remove(0).1);
        }
        for (path, hash, _) in results.into_iter().flat_map(|done| done.files) {
            record.add(path, hash);
        }
        unreadable.iter().for_each(|(i, _)| record.skip(&self.data.samples[*i].path));
        let per_image = (self.settings.corruptions.len() * self.settings.severities.len()) as u64;
        summary.complete = summary.written + summary.kept == total - unreadable.len() as u64 * per_image;
        summary.skipped = unreadable.into_iter().map(|(_, error)| error).collect();
        Ok(summary)
    }

    fn write_image(&self, i: usize, name: &str, format: FileFormat, record: &Record) -> Result<Done, Error> {
        let mut done = Done::default();
        let mut clean = None;
        for &corruption in &self.settings.corruptions {
            for &severity in &self.settings.severities {
                if self.watch.halted() {
                    return Ok(done);
                }
                let file = format!("{corruption}/{severity}/{name}");
                let path = self.out.join(&file);
                self.enter(path.parent().unwrap_or(self.out))?;
                if let Some(hash) = kept(&path, format, record.before(&file)) {
                    done.files.push((file, hash, false));
                    continue;
                }
                let clean = match &clean {
                    Some(image) => image,
                    None => match self.load(i) {
                        Ok(image) => clean.insert(image),
                        Err(error) => {
                            // Files of an earlier run, when it could be read, are not part of this set.
                            done.files.clear();
                            done.unreadable = Some(error);
                            return Ok(done);
                        }
                    },
                };
                let bytes = format.encode(&self.corrupt(clean, corruption, severity, i))?;
                write_with(&path, false, |file| file.write_all(&bytes))?;
                done.files.push((file, hex(&Sha256::digest(&bytes)), true));
            }
        }
        Ok(done)
    }
}

/// The hash of the file if it is there and whole: if it has the hash it had, or where none is known, its first and last
/// bytes.
fn kept(path: &Path, format: FileFormat, before: Option<&str>) -> Option<String> {
    let bytes = read(path, Limits::DEFAULT.image_bytes).ok()?;
    let hash = hex(&Sha256::digest(&bytes));
    let whole = before.map_or_else(|| format.is_whole(&bytes), |before| before == hash);
    whole.then_some(hash)
}
