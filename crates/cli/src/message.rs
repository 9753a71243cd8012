//! Errors and foreign text as a terminal may show them.

use std::fmt::Write;

use anyhow::Error;

/// Lines of a message, at most.
const LINES: usize = 40;
/// Characters of a line, at most.
const LONGEST: usize = 2000;

/// An error and its causes, each said once: some messages hold their cause already. Control characters are escaped, and what is
/// too long is cut: an error may quote a file.
pub fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    clean(&text)
}

/// Text for a terminal: lines stay lines, other control characters are escaped, and what is too long is cut.
pub fn clean(text: &str) -> String {
    let mut out = String::new();
    let lines = text.lines().count();
    for (i, line) in text.lines().enumerate() {
        if i == LINES {
            let _ = write!(out, "\n… and {} more lines", lines - LINES);
            break;
        }
        if i > 0 {
            out.push('\n');
        }
        let length = line.chars().count();
        for c in line.chars().take(LONGEST) {
            match c {
                '\t' => out.push(' '),
                c if c.is_control() => {
                    let _ = write!(out, "{}", c.escape_unicode());
                }
                c => out.push(c),
            }
        }
        if length > LONGEST {
            let _ = write!(out, " … and {} more characters", length - LONGEST);
        }
    }
    out
}

/// Foreign text for a line of a table: as [`clean`], with line ends escaped too.
pub fn line(text: &str) -> String {
    clean(&text.replace('\r', "\\r").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::{clean, describe, line};

    #[test]
    fn causes_are_said_once() {
        let error = anyhow!("no such file").context("x.png: cannot read");
        assert_eq!(describe(&error), "x.png: cannot read: no such file");
        assert_eq!(describe(&anyhow!("gone").context("x.png: gone")), "x.png: gone");
    }

    #[test]
    fn a_message_obeys_nobody_and_ends() {
        assert_eq!(clean("a\x1b[2Jb\r\n\tc\u{9b}\n"), "a\\u{1b}[2Jb\n c\\u{9b}");
        let long = clean(&"x".repeat(1 << 20));
        assert!(long.len() < 2100 && long.ends_with("1046576 more characters"), "{}", long.len());
        assert_eq!(line("a\nb\x07"), "a\\nb\\u{7}");
        let tall = clean(&"line\n".repeat(1000));
        assert!(tall.ends_with("line\n… and 960 more lines"), "{tall}");
    }
}
