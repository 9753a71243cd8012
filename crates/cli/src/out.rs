//! What the command prints. Neither a closed pipe nor a terminal that is gone nor a full disk stops its work: what was computed
//! is saved first and complained about after. `print!` and its kin panic there and are not used.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::{Mutex, PoisonError};

/// Why standard output takes no more.
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints a result and ends the line.
macro_rules! say {
    ($($text:tt)*) => { $crate::out::write(format_args!("{}\n", format_args!($($text)*))) };
}

/// Says something on standard error, and ends the line.
macro_rules! note {
    ($($text:tt)*) => { $crate::out::aside(format_args!($($text)*)) };
}

pub(crate) use {note, say};

/// Writes to standard output. After a failure, which [`finish`] gives, nothing more is written.
pub fn write(text: Arguments<'_>) {
    let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    if failed.is_none() {
        *failed = io::stdout().lock().write_fmt(text).err();
    }
}

/// Writes a line to standard error; if that fails, there is nobody to tell.
pub fn aside(text: Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Brings to standard output what is still held back, and gives what failed on the way. That a reader has seen enough and closed
/// its pipe is no failure.
pub fn finish() -> io::Result<()> {
    let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    match failed.take().map_or_else(|| io::stdout().lock().flush(), Err) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}
