//! Corrupts the images of a folder: `cargo run --release --features corrupt --example corrupt_folder -- FOLDER OUT fog 3`.

use std::error::Error;
use std::path::Path;

use dyntta::corrupt::{Corruption, Preset, Severity, corrupt, suite};
use dyntta::image;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, out, names, severity] = args.as_slice() else {
        return Err(
            "expected a folder of images, one for the results, corruptions or a suite, and a severity".into(),
        );
    };
    corrupt_folder(folder.as_ref(), out.as_ref(), &suite(names)?, severity.parse()?)
}

/// Writes each image of `folder` to `out/CORRUPTION/NAME.png`, corrupted. The same file is corrupted the same way, whatever else
/// lies beside it.
pub fn corrupt_folder(
    folder: &Path,
    out: &Path,
    corruptions: &[Corruption],
    severity: Severity,
) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if !image::is_image_name(&name) {
            continue;
        }
        let clean = image::read(&path)?;
        for &corruption in corruptions {
            let to = out.join(corruption.name()).join(&name).with_extension("png");
            std::fs::create_dir_all(to.parent().unwrap_or(out))?;
            image::write(&to, &corrupt(&clean, corruption, Preset::Imagenet, severity, 0, &name))?;
        }
    }
    Ok(())
}
