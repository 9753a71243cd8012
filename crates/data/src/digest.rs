//! What a data set is, in one number: two runs on the same number saw the same images under the same labels.

use sha2::{Digest, Sha256};

use crate::store::{Bytes, Place, Store};
use crate::{Dataset, Error};

/// Images whose bytes are looked at, spread evenly over the set.
const LOOKED_AT: usize = 64;

/// First in every digest: another way of making it needs another word.
const VERSION: &[u8] = b"dyntta data 1";

impl Dataset {
    /// A SHA-256 in hexadecimal digits of what the set holds, wherever it lies and however it is packed: a folder and a tar of
    /// it have the same.
    ///
    /// It covers the class names in their order, the path, the label and the length in bytes of every image in their order (not
    /// the lengths in Parquet, which are known only of images that were read), and the bytes of 64 images spread evenly over
    /// the set (all, if there are fewer). An edit that keeps the length of a file is
    /// so found if it is one of those. After [`Dataset::skip_broken`], a file that cannot be read counts as one.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn digest(&self) -> Result<String, Error> {
        let mut hash = Sha256::new();
        text(&mut hash, VERSION);
        number(&mut hash, self.classes.len());
        self.classes.iter().for_each(|class| text(&mut hash, class.as_bytes()));
        number(&mut hash, self.len());
        let readable = |error: Error| if self.skipped.is_some() { Ok(()) } else { Err(error) };
        for sample in &self.samples {
            text(&mut hash, sample.path.as_bytes());
            number(&mut hash, sample.class);
            match self.store.length(&sample.path, &sample.place) {
                Ok(length) => hash.update(length.to_le_bytes()),
                Err(error) => readable(error)?,
            }
        }
        let looked_at = self.len().min(LOOKED_AT);
        for k in 0..looked_at {
            let sample = &self.samples[k * self.len() / looked_at];
            match self.store.bytes(&sample.path, &sample.place) {
                Ok(bytes) => text(&mut hash, &Sha256::digest(&bytes)),
                Err(error) => readable(error)?,
            }
        }
        hash_encoding(&mut hash, &self.store);
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// What the bytes mean, where that isn't in them.
fn hash_encoding(hash: &mut Sha256, store: &Store) {
    if let Bytes::Parts(parts) = &store.bytes {
        parts.iter().for_each(|(_, store)| hash_encoding(hash, store));
    } else if store.encoding.image_bytes().is_some() {
        text(hash, format!("{:?}", store.encoding).as_bytes());
    }
}

/// With its length before it, so that no two lists of texts are one.
fn text(hash: &mut Sha256, bytes: &[u8]) {
    number(hash, bytes.len());
    hash.update(bytes);
}

fn number(hash: &mut Sha256, value: usize) {
    hash.update((value as u64).to_le_bytes());
}

impl Store {
    /// The bytes that an image takes in its file.
    fn length(&self, path: &str, place: &Place) -> Result<u64, Error> {
        match (&self.bytes, place) {
            (Bytes::Folder(root), Place::File) => {
                let path = root.join(path);
                std::fs::metadata(&path).map(|m| m.len()).map_err(|e| Error::io(&path, "look at", e))
            }
            (Bytes::Parts(parts), Place::Part { part, place }) => {
                let (prefix, store) = &parts[*part as usize];
                store.length(path.strip_prefix(prefix.as_str()).unwrap_or(path), place)
            }
            (_, Place::Span { len, .. } | Place::Packed { size: len, .. }) => Ok(*len),
            // To know it, the row would have to be read; the digest has the lengths of those that are looked at.
            (_, Place::Row { .. }) => Ok(0),
            (_, Place::File | Place::Part { .. }) => unreachable!("as in `Store::bytes`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Folder, png, tar};
    use crate::{Dataset, Options, Skipped};

    fn open(folder: &Folder, path: &str) -> Dataset {
        Dataset::open(folder.0.join(path), &Options::default()).unwrap()
    }

    #[test]
    fn it_tells_sets_apart_and_not_their_places() {
        let folder = Folder::new();
        for place in ["a/set", "b/other"] {
            folder.image(&format!("{place}/cat/1.png"), 1);
            folder.image(&format!("{place}/dog/2.png"), 2);
        }
        folder.file("set.tar", tar(&[("x/dog/2.png", &png(2)), ("x/cat/1.png", &png(1))]));
        let digest = open(&folder, "a/set").digest().unwrap();
        assert_eq!(digest.len(), 64);
        for same in ["b/other", "set.tar"] {
            assert_eq!(open(&folder, same).digest().unwrap(), digest, "{same}");
        }
        let set = open(&folder, "a/set");
        assert_ne!(set.subset(&[0]).digest().unwrap(), digest);
        let turned = set.clone().with_classes(&["dog".into(), "cat".into()]).unwrap();
        assert_ne!(turned.digest().unwrap(), digest);
        // Renamed, of another length, and changed in one byte.
        folder.image("b/other/dog/3.png", 2);
        assert_ne!(open(&folder, "b/other").digest().unwrap(), digest);
        folder.file("a/set/dog/2.png", [png(2), vec![0]].concat());
        assert_ne!(set.digest().unwrap(), digest);
        folder.image("a/set/dog/2.png", 3);
        assert_ne!(set.digest().unwrap(), digest);
        folder.image("a/set/dog/2.png", 2);
        assert_eq!(set.digest().unwrap(), digest);
        std::fs::remove_file(folder.0.join("a/set/dog/2.png")).unwrap();
        assert!(set.digest().unwrap_err().to_string().contains("dog/2.png"));
        assert_ne!(set.skip_broken(&Skipped::default()).digest().unwrap(), digest);
    }

    #[test]
    fn parts_and_arrays_have_one_too() {
        let (train, test) = crate::fashion_mnist::builtin();
        assert_ne!(train.digest().unwrap(), test.digest().unwrap());
        let folder = Folder::new();
        for path in ["fog/1/cat/1.png", "fog/1/dog/1.png", "fog/2/cat/1.png", "fog/2/dog/1.png"] {
            folder.image(path, 1);
        }
        let merged = |name| crate::CorruptedSet::open(&folder.0, None).unwrap().merged(name).unwrap();
        assert_eq!(merged("a").digest().unwrap(), merged("b").digest().unwrap());
    }
}
