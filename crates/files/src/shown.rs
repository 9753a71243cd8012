//! Names and foreign text in messages: a terminal obeys control characters, and a name may be as long as a file.

use std::fmt::{self, Display, Write};
use std::path::Path;

/// The most characters of a foreign text that a message shows.
const LONGEST: usize = 300;

/// A path for a message: control characters and bytes that are no text are escaped.
pub fn shown(path: &Path) -> impl Display + use<> {
    Shown(path.to_string_lossy().into_owned(), 4 * LONGEST)
}

/// Text from a file for a message: control characters are escaped, and the middle of a long text is left out.
pub fn shown_text(text: &str) -> impl Display + use<> {
    Shown(text.to_owned(), LONGEST)
}

/// Text of a message that may quote a file: lines stay lines, all else is as in [`shown_text`], and more is shown.
pub fn shown_lines(text: &str) -> impl Display + use<> {
    let lines: Vec<String> =
        text.split('\n').take(200).map(|line| Shown(line.to_owned(), 4 * LONGEST).to_string()).collect();
    lines.join("\n")
}

struct Shown(String, usize);

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text, longest) = self;
        let count = text.chars().count();
        for (i, c) in text.chars().enumerate() {
            if count > *longest {
                if i == longest / 2 {
                    write!(f, " … ({} characters) … ", count - longest)?;
                }
                if (longest / 2..count - longest / 2).contains(&i) {
                    continue;
                }
            }
            // Also what turns the direction of text, with which a name can pose as another, and marks that nobody sees.
            let unseen = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
            if c.is_control() || unseen {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{shown, shown_text};

    #[test]
    fn control_characters_are_escaped_and_long_text_is_cut() {
        assert_eq!(shown(Path::new("a\x1b[31mb\n.png")).to_string(), "a\\u{1b}[31mb\\u{a}.png");
        assert_eq!(shown_text("\u{feff}airplane").to_string(), "\\u{feff}airplane");
        let long = shown_text(&"x".repeat(1000)).to_string();
        assert!(long.contains("… (700 characters) …") && long.len() < 400, "{long}");
    }
}
