//! What of a data set's files is no image of it.

use std::collections::BTreeMap;
use std::fmt;

use dyntta_files::shown_text;
use serde::Serialize;

use crate::names;

/// What was found in a data set and left out, by kinds; its `Display` is one line such as `3 .tiff (not read), 12 .txt, 2
/// hidden, 1 folder without images (dog)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeftOut {
    /// Files that are no images, by extension in lower case (`.txt`); of a file without one, `""`.
    pub by_extension: BTreeMap<String, u64>,
    /// Images of formats that are not read, by extension in the same way.
    pub not_read: BTreeMap<String, u64>,
    /// Images above the class folders.
    pub outside: u64,
    /// Devices, pipes and sockets.
    pub special: u64,
    /// Hidden files and folders, and those that systems and programs make for themselves; what is in them is not counted.
    pub hidden: u64,
    /// Folders without images where classes have theirs.
    pub empty: Vec<String>,
}

/// Extensions and folders that are named; of more, the number.
const NAMED: usize = 8;

impl LeftOut {
    /// Whether nothing was left out.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Files that are not hidden.
    pub fn files(&self) -> u64 {
        let counted = self.by_extension.values().chain(self.not_read.values());
        counted.sum::<u64>() + self.outside + self.special
    }

    pub(crate) fn file(&mut self, name: &str) {
        *self.by_extension.entry(extension(name)).or_default() += 1;
    }

    pub(crate) fn unread(&mut self, name: &str) {
        *self.not_read.entry(extension(name)).or_default() += 1;
    }

    /// Adds what was left out of another part.
    pub fn merge(&mut self, other: &Self) {
        for (mine, others) in
            [(&mut self.by_extension, &other.by_extension), (&mut self.not_read, &other.not_read)]
        {
            for (extension, n) in others {
                *mine.entry(extension.clone()).or_default() += n;
            }
        }
        self.outside += other.outside;
        self.special += other.special;
        self.hidden += other.hidden;
        for folder in &other.empty {
            if !self.empty.contains(folder) {
                self.empty.push(folder.clone());
            }
        }
    }
}

fn extension(name: &str) -> String {
    let extension = names::extension(name);
    // What is that long is no extension but a name with a dot in it.
    if extension.is_empty() || extension.chars().count() > 16 {
        String::new()
    } else {
        format!(".{extension}")
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (counts, what) in [(&self.not_read, " (not read)"), (&self.by_extension, "")] {
            let mut by_count: Vec<(&String, &u64)> = counts.iter().collect();
            by_count.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
            for (extension, n) in by_count.iter().take(NAMED) {
                let name = if extension.is_empty() { "without extension" } else { extension };
                parts.push(format!("{n} {}{what}", shown_text(name)));
            }
            let more: u64 = by_count.iter().skip(NAMED).map(|(_, n)| **n).sum();
            if more > 0 {
                parts.push(format!("{more} of other extensions{what}"));
            }
        }
        let counted = [
            (self.outside, "outside the class folders"),
            (self.special, "special (device, pipe or link to nothing)"),
            (self.hidden, "hidden or system"),
        ];
        parts.extend(counted.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
        if !self.empty.is_empty() {
            let named: Vec<String> =
                self.empty.iter().take(NAMED).map(|name| shown_text(name).to_string()).collect();
            let (s, dots) = (
                if self.empty.len() == 1 { "" } else { "s" },
                if self.empty.len() > NAMED { ", ..." } else { "" },
            );
            parts.push(format!("{} folder{s} without images ({}{dots})", self.empty.len(), named.join(", ")));
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::LeftOut;

    #[test]
    fn it_is_one_line_with_the_most_frequent_first() {
        let mut left = LeftOut::default();
        assert!(left.is_nothing() && left.to_string().is_empty());
        for name in ["a.txt", "b.TXT", "c.md", "no", "odd.\u{1b}"] {
            left.file(name);
        }
        left.unread("x.tiff");
        (left.hidden, left.special) = (2, 1);
        left.empty = vec!["dog".into()];
        assert_eq!(left.files(), 7);
        let expected = "1 .tiff (not read), 2 .txt, 1 without extension, 1 .\\u{1b}, 1 .md, 1 special (device, pipe or \
                        link to nothing), 2 hidden or system, 1 folder without images (dog)";
        assert_eq!(left.to_string(), expected);
        let mut twice = left.clone();
        twice.merge(&left);
        assert_eq!((twice.files(), twice.hidden, twice.empty.len()), (14, 4, 1));
        (0..20).for_each(|i| left.file(&format!("x.e{i}")));
        assert!(left.to_string().contains("16 of other extensions"), "{left}");
    }
}
