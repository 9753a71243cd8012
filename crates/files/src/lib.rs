//! Files and folders, the ground under every crate that touches a disk: what is read is bounded, what is written loses
//! nothing, and a file is named as what it is.
//!
//! | file | what |
//! |---|---|
//! | `limits` | the bounds of every reader |
//! | `read` | bounded reading; devices, pipes and folders are refused |
//! | `digest` | SHA-256 of what is read |
//! | `kind` | what a file is by its first bytes, in words |
//! | `shown` | paths and foreign text in messages |
//! | `quiet` | panics of foreign code as values |
//! | `write` | writing by a temporary file and a rename, through links and devices |
//! | `claims` | the inputs and outputs of a command, held against each other before it starts |
//! | `lock` | who works in a folder |
//! | `walk` | the files below a folder, each once |

mod claims;
mod digest;
mod error;
mod kind;
mod limits;
mod lock;
mod quiet;
mod read;
mod shown;
mod walk;
mod write;

pub use claims::{Claims, Ours};
pub use digest::{hex, sha256};
pub use error::Error;
pub use kind::describe;
pub use limits::Limits;
pub use lock::Lock;
pub use quiet::catch;
pub use read::{open, read, read_all, read_stdin, read_text, text};
pub use shown::{shown, shown_lines, shown_text};
pub use walk::{Found, identity, same_file, walk};
pub use write::{check_writable, remove_leftovers, sync_all, write_atomic, write_with};
