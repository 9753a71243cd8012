//! How often a file is opened, by whatever process: Linux tells (inotify(7)).

use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A watch on one file.
pub struct Opens(OwnedFd);

impl Opens {
    /// Begins to count.
    pub fn of(file: &Path) -> Self {
        // SAFETY: a call without pointers; a descriptor that is returned is nobody else's.
        let fd = unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) };
        assert!(fd >= 0, "inotify");
        // SAFETY: as said above.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let name = CString::new(file.as_os_str().as_bytes()).unwrap();
        // Equal events in a row are told once: reading and closing stand between two openings.
        let events = libc::IN_OPEN | libc::IN_ACCESS | libc::IN_CLOSE_NOWRITE;
        // SAFETY: the descriptor is one of inotify, and `name` a C string that lives until after the call.
        let watch = unsafe { libc::inotify_add_watch(fd.as_raw_fd(), name.as_ptr(), events) };
        assert!(watch >= 0, "a watch on {}", file.display());
        Self(fd)
    }

    /// How often the file was opened since the last call.
    pub fn count(&self) -> usize {
        let mut buffer = vec![0u8; 1 << 16];
        let mut opened = 0;
        loop {
            // SAFETY: the buffer is as long as said.
            let read = unsafe { libc::read(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
            let Ok(read @ 1..) = usize::try_from(read) else { return opened };
            let mut events = &buffer[..read];
            // Four numbers of 32 bits: watch, kind, cookie, and the length of the name that follows.
            while events.len() >= 16 {
                let number = |i: usize| u32::from_ne_bytes(events[4 * i..4 * i + 4].try_into().unwrap());
                assert_eq!(number(1) & libc::IN_Q_OVERFLOW, 0, "more events than are kept");
                opened += usize::from(number(1) & libc::IN_OPEN != 0);
                events = &events[16 + number(3) as usize..];
            }
        }
    }
}
