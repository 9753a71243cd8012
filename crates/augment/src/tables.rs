//! Operations that look each level up in a table of its channel.

use dyntta_image::Rgb8;

fn look_up(image: &mut Rgb8, tables: [[u8; 256]; 3]) {
    for pixel in image.data_mut().as_chunks_mut::<3>().0 {
        for c in 0..3 {
            pixel[c] = tables[c][usize::from(pixel[c])];
        }
    }
}

fn histograms(image: &Rgb8) -> [[usize; 256]; 3] {
    let mut counts = [[0; 256]; 3];
    for pixel in image.data().as_chunks::<3>().0 {
        for c in 0..3 {
            counts[c][usize::from(pixel[c])] += 1;
        }
    }
    counts
}

const IDENTITY: [u8; 256] = {
    let mut table = [0; 256];
    let mut v = 0;
    while v < 256 {
        table[v] = v as u8;
        v += 1;
    }
    table
};

/// Stretches each channel's levels to 0 to 255.
pub(crate) fn auto_contrast(image: &mut Rgb8, _: f64) {
    let tables = histograms(image).map(|counts| {
        let low = counts.iter().position(|&n| n > 0).unwrap_or(0);
        let high = counts.iter().rposition(|&n| n > 0).unwrap_or(0);
        if high <= low {
            return IDENTITY;
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        std::array::from_fn(|v| (v as f64 * scale + offset).clamp(0.0, 255.0) as u8)
    });
    look_up(image, tables);
}

/// Spreads each channel's levels so that all are about equally frequent.
pub(crate) fn equalize(image: &mut Rgb8, _: f64) {
    let tables = histograms(image).map(|counts| {
        let last = counts.iter().rposition(|&n| n > 0).unwrap_or(0);
        let step = (counts.iter().sum::<usize>() - counts[last]) / 255;
        if step == 0 {
            return IDENTITY;
        }
        let mut n = step / 2;
        counts.map(|count| {
            let level = (n / step).min(255) as u8;
            n += count;
            level
        })
    });
    look_up(image, tables);
}

/// Keeps the highest `bits` of each level, 0 to 8.
pub(crate) fn posterize(image: &mut Rgb8, bits: f64) {
    let mask = (0xff00u16 >> (bits as u16).min(8)) as u8;
    image.data_mut().iter_mut().for_each(|v| *v &= mask);
}

/// Inverts the levels from `threshold` up.
pub(crate) fn solarize(image: &mut Rgb8, threshold: f64) {
    image.data_mut().iter_mut().filter(|v| f64::from(**v) >= threshold).for_each(|v| *v = 255 - *v);
}
