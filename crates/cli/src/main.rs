//! The dyntta command.

fn main() {}
