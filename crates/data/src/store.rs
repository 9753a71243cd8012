//! Where the bytes of a data set's images are, and how they become pixels.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dyntta_files::Limits;
use dyntta_image::{Decode, Exif, Rgb8};
use flate2::read::DeflateDecoder;

use crate::Error;

/// Where one image is in its [`Store`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file of its own, at the sample's path.
    File,
    /// A stretch of one of the store's files, or of its memory (`file` 0).
    Span { file: u32, offset: u64, len: u64 },
    /// A stretch of one of the store's files that is deflated; inflated it has `size` bytes.
    Packed { file: u32, offset: u64, len: u64, size: u64 },
    /// A row of one of the store's tables.
    #[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "the feature makes them"))]
    Row { file: u32, row: u64 },
    /// In another store, one of this one's parts.
    Part { part: u32, place: Box<Place> },
}

/// The bytes behind a data set, shared by all its subsets.
#[derive(Debug)]
pub(crate) struct Store {
    pub bytes: Bytes,
    pub encoding: Encoding,
}

#[derive(Debug)]
pub(crate) enum Bytes {
    Folder(PathBuf),
    Files(Vec<Archive>),
    #[cfg(feature = "parquet")]
    Tables(Vec<crate::parquet_files::Table>),
    Memory {
        name: String,
        data: Vec<u8>,
    },
    /// Other stores, each with what stands before its own paths.
    Parts(Vec<(String, Arc<Store>)>),
}

/// What an image's bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// An image file.
    ImageFile,
    /// `3 * height * width` bytes, all red, all green, all blue.
    Planar { width: usize, height: usize },
    /// `height * width * 3` bytes.
    Interleaved { width: usize, height: usize },
    /// `height * width` bytes.
    Grey { width: usize, height: usize },
}

impl Encoding {
    /// Bytes an image, where that is fixed.
    pub fn image_bytes(self) -> Option<usize> {
        match self {
            Self::ImageFile => None,
            Self::Planar { width, height } | Self::Interleaved { width, height } => Some(3 * width * height),
            Self::Grey { width, height } => Some(width * height),
        }
    }
}

/// A file that is read at given positions, from many threads at once.
#[derive(Debug)]
pub(crate) struct Archive {
    pub path: PathBuf,
    pub len: u64,
    /// `None`: opened anew for every read, since a process may hold only so many files open.
    file: Option<File>,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = dyntta_files::open(path)?;
        let len = file.metadata().map_err(|e| Error::io(path, "read", e))?.len();
        Ok(Self { path: path.to_path_buf(), len, file: Some(file) })
    }

    /// The same, no longer held open.
    pub fn closed(self) -> Self {
        Self { file: None, ..self }
    }

    /// The file, while it is held open.
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// [`Archive::read_at`] of no more than an image may have.
    pub fn read_image(&self, offset: u64, len: u64) -> Result<Vec<u8>, Error> {
        let limit = Limits::DEFAULT.image_bytes;
        match usize::try_from(len) {
            Ok(n) if len <= limit => self.read_at(offset, n),
            _ => Err(dyntta_files::Error::TooLarge { path: self.path.clone(), limit }.into()),
        }
    }

    pub fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
        let fail = |source| Error::io(&self.path, "read", source);
        let mut out = vec![0; len];
        match &self.file {
            Some(file) => read_exact_at(file, &mut out, offset),
            None => File::open(&self.path).and_then(|file| read_exact_at(&file, &mut out, offset)),
        }
        .map_err(fail)?;
        Ok(out)
    }
}

/// The bytes that were deflated to `packed`; `size` is how many there are to be.
fn inflate(packed: &[u8], size: u64, name: &dyn Fn() -> String) -> Result<Vec<u8>, Error> {
    let limit = Limits::DEFAULT.image_bytes;
    if size > limit {
        return Err(dyntta_files::Error::TooLarge { path: name().into(), limit }.into());
    }
    // The announced size is not trusted for reserving; one byte more tells whether there is more.
    let mut bytes = Vec::with_capacity(packed.len().min(1 << 20));
    let read = DeflateDecoder::new(packed).take(size + 1).read_to_end(&mut bytes);
    match read {
        Ok(_) if bytes.len() as u64 == size => Ok(bytes),
        Ok(n) => Err(Error::layout(
            name(),
            format!("{size} bytes when inflated"),
            if n as u64 > size { "more".into() } else { n.to_string() },
        )),
        Err(e) => Err(Error::layout(name(), "deflated data", e.to_string())),
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut out: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                out = &mut out[n..];
                offset += n as u64;
            }
        }
    }
    Ok(())
}

impl Store {
    /// Decodes the image at `place`, called `path` inside the data set.
    pub fn load(&self, path: &str, place: &Place, exif: Exif) -> Result<Rgb8, Error> {
        match (&self.bytes, place) {
            (Bytes::Folder(root), _) => {
                Ok(dyntta_image::read_with(root.join(path), &Decode { exif, ..Decode::default() })?.image)
            }
            (Bytes::Parts(parts), Place::Part { part, place }) => {
                let (prefix, store) = &parts[*part as usize];
                store.load(path.strip_prefix(prefix.as_str()).unwrap_or(path), place, exif)
            }
            _ => self.decode(&self.bytes(path, place)?, exif, || self.locate(path, place)),
        }
    }

    /// The bytes of the image at `place`, called `path` inside the data set.
    pub fn bytes<'a>(&'a self, path: &str, place: &Place) -> Result<Cow<'a, [u8]>, Error> {
        Ok(match (&self.bytes, place) {
            (Bytes::Folder(root), Place::File) => {
                dyntta_files::read(&root.join(path), Limits::DEFAULT.image_bytes)?.into()
            }
            (Bytes::Files(files), Place::Span { file, offset, len }) => {
                files[*file as usize].read_image(*offset, *len)?.into()
            }
            (Bytes::Files(files), Place::Packed { file, offset, len, size }) => {
                let archive = &files[*file as usize];
                let name = || self.locate(path, place);
                inflate(&archive.read_image(*offset, *len)?, *size, &name)?.into()
            }
            #[cfg(feature = "parquet")]
            (Bytes::Tables(tables), Place::Row { file, row }) => tables[*file as usize].image(*row)?.into(),
            (Bytes::Memory { data, .. }, Place::Span { offset, len, .. }) => {
                data[*offset as usize..(*offset + *len) as usize].into()
            }
            (Bytes::Parts(parts), Place::Part { part, place }) => {
                let (prefix, store) = &parts[*part as usize];
                store.bytes(path.strip_prefix(prefix.as_str()).unwrap_or(path), place)?
            }
            (_, Place::File) => unreachable!("only a folder has files of their own"),
            (_, Place::Span { .. } | Place::Packed { .. }) => {
                unreachable!("parts have no bytes of their own")
            }
            (_, Place::Row { .. }) => unreachable!("only tables have rows"),
            (_, Place::Part { .. }) => unreachable!("only parts are in parts"),
        })
    }

    /// The image at `place` for a message.
    pub fn locate(&self, path: &str, place: &Place) -> String {
        match (&self.bytes, place) {
            (Bytes::Folder(root), _) => root.join(path).display().to_string(),
            (Bytes::Files(files), Place::Span { file, .. } | Place::Packed { file, .. }) => {
                format!("{}:{path}", files[*file as usize].path.display())
            }
            #[cfg(feature = "parquet")]
            (Bytes::Tables(tables), Place::Row { file, row }) => {
                format!("{}, row {row}", tables[*file as usize].path().display())
            }
            (Bytes::Memory { name, .. }, _) => format!("{name}:{path}"),
            _ => path.to_owned(),
        }
    }

    fn decode(&self, bytes: &[u8], exif: Exif, name: impl Fn() -> String) -> Result<Rgb8, Error> {
        if let Some(expected) = self.encoding.image_bytes().filter(|&n| n != bytes.len()) {
            return Err(Error::layout(name(), format!("{expected} bytes"), bytes.len().to_string()));
        }
        Ok(match self.encoding {
            Encoding::ImageFile => {
                let how = Decode { exif, ..Decode::default() };
                dyntta_image::decode_with(bytes, &name(), &how)?.image
            }
            Encoding::Planar { width, height } => {
                let n = width * height;
                let pixels = (0..n).flat_map(|i| [bytes[i], bytes[n + i], bytes[2 * n + i]]).collect();
                Rgb8::new(width, height, pixels)?
            }
            Encoding::Interleaved { width, height } => Rgb8::new(width, height, bytes.to_vec())?,
            Encoding::Grey { width, height } => {
                Rgb8::new(width, height, bytes.iter().flat_map(|&v| [v; 3]).collect())?
            }
        })
    }
}
