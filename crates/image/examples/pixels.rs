//! Decodes image files for a comparison with another program: for each, its name, what it is or why not, and a file `NAME.rgb`
//! with its pixels (RGB, rows from the top) beside it.
//!
//! `cargo run --release -p dyntta-image --example pixels -- apply|ignore FILES`; `testdata/formats.py --compare` runs it.
#![allow(clippy::disallowed_macros, reason = "an example prints")]

use dyntta_image::{Decode, Exif, decode_with};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let exif = if arguments.next().as_deref() == Some("ignore") { Exif::Ignore } else { Exif::Apply };
    let how = Decode { exif, ..Decode::default() };
    for name in arguments {
        match decode_with(&std::fs::read(&name)?, &name, &how) {
            Ok(decoded) => {
                std::fs::write(format!("{name}.rgb"), decoded.image.data())?;
                println!("{name}\t{}x{}", decoded.image.width(), decoded.image.height());
            }
            Err(error) => println!("{name}\t{error}"),
        }
    }
    Ok(())
}
