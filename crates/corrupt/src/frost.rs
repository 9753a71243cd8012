//! Frost: the image and a random crop of a frost texture, weighted and added. Source: Hendrycks & Dietterich 2019, whose
//! textures are photographs; here they are procedural unless photographs are given.

use dyntta_image::{Rgb8, Stream};

use crate::level::{Level, Table};
use crate::registry::{Entry, Resources, Suite};

pub(crate) const ENTRY: Entry = Entry {
    name: "frost",
    summary: "Ice crystals on the lens.",
    suite: Suite::Common15,
    random: true,
    apply,
};

/// The weights of the image and of the texture, on levels 0 to 255.
const WEIGHTS: Table<(f32, f32)> = Table {
    imagenet: [(1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)],
    cifar: [(1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)],
};

fn apply(image: &Rgb8, at: Level, stream: &mut Stream, resources: &Resources) -> Rgb8 {
    let (kept, added) = WEIGHTS.at(at);
    let texture = resources.frost.choose(at.preset, stream);
    let crop = texture.crop(image.width(), image.height(), stream);
    let mut data = Vec::with_capacity(image.data().len());
    for (row, y) in image.data().chunks_exact(image.width() * 3).zip(crop.rows()) {
        for (pixel, x) in row.as_chunks::<3>().0.iter().zip(crop.columns()) {
            let frost = crop.pixel(x, y);
            // The cast to u8 cuts at 255 and drops the fraction.
            data.extend([0, 1, 2].map(|c| (kept * f32::from(pixel[c]) + added * f32::from(frost[c])) as u8));
        }
    }
    Rgb8::new(image.width(), image.height(), data).expect("three bytes a pixel")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Corruption, FrostTextures, Preset, Severity};

    #[test]
    fn a_given_texture_is_cropped_and_weighted() {
        let texture = Rgb8::new(40, 40, (0..1600).flat_map(|i| [(i % 40) as u8, 0, 100]).collect()).unwrap();
        let resources =
            Resources { frost: FrostTextures::from_images(vec![texture]).unwrap(), ..Resources::default() };
        let frost: Corruption = "frost".parse().unwrap();
        let image = Rgb8::new(8, 4, vec![100; 8 * 4 * 3]).unwrap();
        let mut stream = Stream::new(0, &[]);
        let out = frost.apply_with(&image, Preset::Imagenet, Severity::ALL[2], &mut stream, &resources);
        let pixels = out.data().as_chunks::<3>().0;
        assert!(pixels.iter().all(|p| p[1] == 70 && p[2] == 140 && p[0] >= 70));
        // The ramp's slope is 0.7 a pixel.
        assert_eq!(pixels[7][0] - pixels[0][0], 5);
    }

    #[test]
    fn a_texture_smaller_than_the_image_is_mirrored() {
        let texture = Rgb8::new(2, 1, vec![0, 0, 0, 200, 200, 200]).unwrap();
        let resources =
            Resources { frost: FrostTextures::from_images(vec![texture]).unwrap(), ..Resources::default() };
        let frost: Corruption = "frost".parse().unwrap();
        let mut stream = Stream::new(0, &[]);
        let out = frost.apply_with(
            &Rgb8::black(6, 3).unwrap(),
            Preset::Imagenet,
            Severity::ALL[0],
            &mut stream,
            &resources,
        );
        let row: Vec<u8> = out.data()[..18].iter().copied().step_by(3).collect();
        assert_eq!(row, [0, 80, 80, 0, 0, 80]);
    }
}
