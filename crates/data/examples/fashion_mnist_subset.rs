//! Makes the subset of Fashion-MNIST that the crate carries: the first images of each class, in their order.
//!
//! `cargo run --release -p dyntta-data --example fashion_mnist_subset -- FULL OUT`, where FULL holds the four files of
//! the whole set (Debian: `apt-get install dataset-fashion-mnist`, `/usr/share/datasets/fashion-mnist`).

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use dyntta_data::{Dataset, Options, Split};
use flate2::{Compression, GzBuilder};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [full, out] = arguments.as_slice() else { return Err("usage: fashion_mnist_subset FULL OUT".into()) };
    fs::create_dir_all(out)?;
    for (split, prefix, images) in [(Split::Train, "train", 10_000), (Split::Test, "t10k", 2_000)] {
        let set = Dataset::open(full, &Options::split(split))?.limit_balanced(images)?;
        let mut pixels = Vec::new();
        for i in 0..set.len() {
            let image = set.load(i)?;
            assert_eq!((image.width(), image.height()), (28, 28));
            pixels.extend(image.data().iter().step_by(3)); // the three channels are equal
        }
        let labels: Vec<u8> = set.samples.iter().map(|s| s.class as u8).collect();
        let count = set.len() as u32;
        write_idx(Path::new(out).join(format!("{prefix}-images-idx3-ubyte.gz")), &[count, 28, 28], &pixels)?;
        write_idx(Path::new(out).join(format!("{prefix}-labels-idx1-ubyte.gz")), &[count], &labels)?;
    }
    Ok(())
}

fn write_idx(path: impl AsRef<Path>, dimensions: &[u32], bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    // No time and no name in the header: the same input gives the same file.
    let mut file = GzBuilder::new().write(File::create(path)?, Compression::best());
    file.write_all(&(0x0800 + dimensions.len() as u32).to_be_bytes())?;
    for dimension in dimensions {
        file.write_all(&dimension.to_be_bytes())?;
    }
    file.write_all(bytes)?;
    file.finish()?.flush()?;
    Ok(())
}
