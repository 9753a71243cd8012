//! What a file is by its first bytes.

/// What a file is that begins with `head`, in words such as "a TIFF image"; `None` where the bytes tell nothing. 512 bytes
/// tell all that can be told.
pub fn describe(head: &[u8]) -> Option<&'static str> {
    if head.is_empty() {
        return Some("an empty file");
    }
    let brand = |names: &[&[u8]]| {
        head.get(4..8) == Some(b"ftyp") && head.get(8..12).is_some_and(|b| names.contains(&b))
    };
    let known: [(bool, &str); 33] = [
        (
            head.starts_with(b"version https://git-lfs"),
            "a Git LFS pointer, not the file itself (fetch it with `git lfs pull`)",
        ),
        (head.starts_with(b"\xff\xd8\xff"), "a JPEG image"),
        (head.starts_with(b"\x89PNG\r\n\x1a\n"), "a PNG image"),
        (head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP"), "a WebP image"),
        (head.starts_with(b"BM") && head.len() > 14 && head[6..10] == [0; 4], "a BMP image"),
        (head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a"), "a GIF image"),
        (
            head.starts_with(b"II*\0")
                || head.starts_with(b"MM\0*")
                || head.starts_with(b"II+\0")
                || head.starts_with(b"MM\0+"),
            "a TIFF image",
        ),
        (brand(&[b"avif", b"avis"]), "an AVIF image"),
        (brand(&[b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"]), "a HEIC image"),
        (head.starts_with(b"\xff\x0a") || head.starts_with(b"\0\0\0\x0cJXL \r\n\x87\n"), "a JPEG XL image"),
        (
            head.starts_with(b"\0\0\0\x0cjP  \r\n\x87\n") || head.starts_with(b"\xff\x4f\xff\x51"),
            "a JPEG 2000 image",
        ),
        (head.starts_with(b"8BPS"), "a Photoshop file"),
        (head.starts_with(b"PAR1"), "a Parquet file"),
        (head.starts_with(b"ARROW1"), "an Arrow file"),
        (head.starts_with(b"\x89HDF\r\n\x1a\n"), "an HDF5 file"),
        (head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06"), "a zip archive"),
        (head.starts_with(b"\x1f\x8b"), "a gzip file"),
        (head.starts_with(b"\x28\xb5\x2f\xfd"), "a zstd file"),
        (head.starts_with(b"BZh"), "a bzip2 file"),
        (head.starts_with(b"\xfd7zXZ\0"), "an xz file"),
        (head.starts_with(b"7z\xbc\xaf\x27\x1c"), "a 7z archive"),
        (head.starts_with(b"Rar!"), "a RAR archive"),
        (head.get(257..262) == Some(b"ustar"), "a tar archive"),
        (head.starts_with(b"\x93NUMPY"), "a NumPy array"),
        (
            head.starts_with(b"\x80\x02")
                || head.starts_with(b"\x80\x03")
                || head.starts_with(b"\x80\x04")
                || head.starts_with(b"\x80\x05"),
            "a Python pickle",
        ),
        (head.starts_with(b"%PDF"), "a PDF file"),
        (head.starts_with(b"\x7fELF"), "a program"),
        (head.starts_with(b"SQLite format 3\0"), "an SQLite database"),
        (head.get(4..8) == Some(b"TFL3"), "a TensorFlow Lite model"),
        (head.get(8) == Some(&b'{') && head.len() > 9 && head[4..8] == [0; 4], "a safetensors file"),
        (is_html(head), "an HTML page"),
        (head.iter().all(|&b| b == 0), "a file of zeros"),
        (head.get(4..8) == Some(b"ftyp"), "an MPEG-4 file"),
    ];
    known.into_iter().find_map(|(is, name)| is.then_some(name))
}

fn is_html(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins = |tag: &str| head.get(..tag.len()).is_some_and(|h| h.eq_ignore_ascii_case(tag.as_bytes()));
    begins("<!doctype html") || begins("<html") || begins("<head")
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn common_files_are_told() {
        assert_eq!(describe(b""), Some("an empty file"));
        assert_eq!(describe(b" <!DOCTYPE HTML><title>404"), Some("an HTML page"));
        assert_eq!(describe(b"PAR1rest"), Some("a Parquet file"));
        assert_eq!(describe(b"\0\0\0\x1cftypavif"), Some("an AVIF image"));
        assert_eq!(describe(b"path,label\n"), None);
    }
}
