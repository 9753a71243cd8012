//! The bytes of a file, on the disk or in memory.

use std::fs::File;
use std::io;

use rawzip::{FileReader, ReaderAt};

/// Where bytes are read from, at any place.
pub(crate) enum Source {
    Memory(Vec<u8>),
    File(FileReader, u64),
}

impl Source {
    /// A regular file; its length is what it is now.
    pub fn file(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self::File(FileReader::from(file), length))
    }

    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, length) => *length,
        }
    }

    /// The bytes from `start` on, in the memory of `into`, which then holds nothing else.
    ///
    /// # Errors
    /// What the system says, and if the bytes aren't all there: then no memory is taken for them.
    pub fn read_into(&self, start: u64, count: u64, into: &mut Vec<u8>) -> io::Result<()> {
        let end = start.checked_add(count).filter(|end| *end <= self.len());
        let (Some(_), Ok(count)) = (end, usize::try_from(count)) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        into.clear();
        into.resize(count, 0);
        self.read_exact_at(into, start)
    }

    /// As [`Self::read_into`], into memory of its own.
    pub fn read(&self, start: u64, count: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_into(start, count, &mut bytes)?;
        Ok(bytes)
    }

    /// All of it, from the beginning.
    pub fn bytes(&self) -> impl io::Read + '_ {
        struct Bytes<'a>(&'a Source, u64);
        impl io::Read for Bytes<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let read = self.0.read_at(buffer, self.1)?;
                self.1 += read as u64;
                Ok(read)
            }
        }
        Bytes(self, 0)
    }

    /// The first bytes, up to `count`.
    pub fn head(&self, count: u64) -> io::Result<Vec<u8>> {
        self.read(0, count.min(self.len()))
    }
}

impl ReaderAt for Source {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let count = buffer.len().min(bytes.len() - start);
                buffer[..count].copy_from_slice(&bytes[start..start + count]);
                Ok(count)
            }
            Self::File(file, _) => file.read_at(buffer, offset),
        }
    }
}
