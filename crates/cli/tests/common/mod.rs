//! What the test files share: the command, run.

use std::process::{Command, Output};

pub fn dyntta(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dyntta")).args(args).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
