//! Enhances the images of a folder: `cargo run --release --example enhance_folder -- RUN|FILE FOLDER OUT`.

use std::error::Error;
use std::io::Write;
use std::path::Path;

use dyntta::{Enhancer, FileFormat};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [run, folder, out] = args.as_slice() else {
        return Err(
            "expected a run's folder or a weight file, a folder of images, and one for the results".into()
        );
    };
    enhance_folder(&Enhancer::load(run)?, folder.as_ref(), out.as_ref(), &mut std::io::stdout())
}

/// Writes the enhanced images of `folder` to `out`, and a line on each to `log`.
pub fn enhance_folder(
    enhancer: &Enhancer,
    folder: &Path,
    out: &Path,
    log: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(out)?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_stem().filter(|_| path.is_file()) else { continue };
        match enhancer.enhance_encoded(&std::fs::read(&path)?, FileFormat::Png) {
            Ok(enhanced) => {
                let to = out.join(name).with_extension("png");
                dyntta::image::write_atomic(&to, &enhanced)?;
                writeln!(log, "{}", to.display())?;
            }
            Err(error) => writeln!(log, "{}: left out, {:?}: {error}", path.display(), error.kind())?,
        }
    }
    Ok(())
}
