//! A contact sheet: every corruption (down) at every severity (across), the clean image at the left, as a PPM.
//!
//! `cargo run --release -p dyntta-corrupt --example sheet -- imagenet 128 sheet.ppm`

use std::error::Error;
use std::io::Write;

use dyntta_corrupt::{Corruption, Preset, Severity, corrupt};
use dyntta_image::Rgb8;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [preset, size, out] = arguments.as_slice() else {
        return Err("usage: sheet imagenet|cifar SIZE OUT.ppm".into());
    };
    let (preset, size): (Preset, usize) = (preset.parse()?, size.parse()?);
    let clean = picture(size.max(1));
    let rows: Vec<Vec<Rgb8>> = Corruption::all()
        .map(|c| {
            let severities = Severity::ALL.map(|s| corrupt(&clean, c, preset, s, 0, "sheet"));
            std::iter::once(clean.clone()).chain(severities).collect()
        })
        .collect();
    let mut file = std::io::BufWriter::new(std::fs::File::create(out)?);
    writeln!(file, "P6 {} {} 255", clean.width() * 6, clean.height() * rows.len())?;
    for row in &rows {
        for y in 0..clean.height() {
            for image in row {
                file.write_all(&image.data()[y * image.width() * 3..][..image.width() * 3])?;
            }
        }
    }
    Ok(file.flush()?)
}

/// A hill, a sun and a striped wall.
fn picture(size: usize) -> Rgb8 {
    let mut data = Vec::with_capacity(size * size * 3);
    for y in 0..size {
        for x in 0..size {
            let (u, v) = (x as f32 / size as f32, y as f32 / size as f32);
            let hill = 0.62 + 0.12 * (6.0 * u).sin();
            let colour = if (u - 0.75).hypot(v - 0.22) < 0.11 {
                [250.0, 215.0, 90.0]
            } else if (0.12..0.4).contains(&u) && (0.42..0.85).contains(&v) {
                if ((v * 24.0) as usize).is_multiple_of(2) {
                    [180.0, 70.0, 50.0]
                } else {
                    [225.0, 190.0, 160.0]
                }
            } else if v > hill {
                [60.0 + 40.0 * v, 120.0 - 30.0 * u, 50.0]
            } else {
                [110.0 + 80.0 * v, 160.0 + 50.0 * v, 230.0]
            };
            data.extend(colour.map(|c: f32| c as u8));
        }
    }
    Rgb8::new(size, size, data).unwrap()
}
