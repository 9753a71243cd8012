//! The mean of the class probabilities over ten crops: the corners and the centre, each mirrored too (Krizhevsky et al.,
//! NIPS 2012).
//!
//! Those of 224 pixels out of 256 see the image 16 pixels, a fourteenth of a side, to either side of the centre crop. That
//! is what is done here for images of any size: the image as the classifier is fed it, corrupted already, is the centre
//! crop (the ImageNet-C protocol corrupts what is left after it, so nothing else is known), and the other four are shifted
//! by a fourteenth of each side, rounded to whole pixels. What they lack at the border is mirrored in. Nothing is resampled:
//! a network sees sizes and sharpness as ever.

use burn::tensor::{Tensor, TensorData};
use dyntta_nn::Classifier;

use crate::error::Error;

use super::flip::of_both;
use super::{Baseline, Predictor};

pub(super) const BASELINE: Baseline = Baseline {
    name: "ten-crop",
    batch_statistics: false,
    start: |setup| Box::new(TenCrop { classifier: setup.classifier }),
};

struct TenCrop<'a> {
    classifier: &'a Classifier,
}

impl Predictor for TenCrop<'_> {
    fn scores(&mut self, images: Tensor<4>) -> Result<Tensor<2>, Error> {
        let (shape, device) = (images.dims(), images.device());
        let size = [shape[2], shape[3]];
        let mut sum = of_both(self.classifier, images.clone())?;
        let values = images.into_data().try_to_vec::<f32>().expect("images are f32");
        let [down, right] = size.map(|extent| margin(extent) as isize);
        for by in [[-down, -right], [-down, right], [down, -right], [down, right]] {
            let crops = TensorData::new(shifted(&values, size, by), shape);
            sum = sum + of_both(self.classifier, Tensor::from_data(crops, &device))?;
        }
        Ok(sum.div_scalar(10.0))
    }
}

/// How far the corner crops of an extent lie from the centre: a fourteenth.
fn margin(extent: usize) -> usize {
    (extent + 7) / 14
}

/// Every plane of `planes`, `h × w` each, as seen `by` rows further down and columns further right. Beyond the border it is
/// mirrored, the outermost pixels not repeated.
fn shifted(planes: &[f32], [h, w]: [usize; 2], by: [isize; 2]) -> Vec<f32> {
    let places = |extent: usize, by: isize| -> Vec<usize> {
        let last = extent as isize - 1;
        (by..=last + by).map(|i| (last - (last - i.abs()).abs()) as usize).collect()
    };
    let (rows, columns) = (places(h, by[0]), places(w, by[1]));
    let mut out = Vec::with_capacity(planes.len());
    for plane in planes.chunks_exact(h * w) {
        for row in &rows {
            out.extend(columns.iter().map(|column| plane[row * w + column]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_are_those_of_224_pixels_out_of_256() {
        assert_eq!([1, 6, 7, 28, 32, 224].map(margin), [0, 0, 1, 2, 2, 16]);
    }

    #[test]
    fn what_lies_beyond_the_border_is_mirrored() {
        let planes: Vec<f32> = (0..24).map(|i| i as f32).collect(); // two planes of 3 × 4
        let out = shifted(&planes, [3, 4], [1, -2]);
        #[rustfmt::skip]
        assert_eq!(out, [
            6.0, 5.0, 4.0, 5.0,  10.0, 9.0, 8.0, 9.0,  6.0, 5.0, 4.0, 5.0,
            18.0, 17.0, 16.0, 17.0,  22.0, 21.0, 20.0, 21.0,  18.0, 17.0, 16.0, 17.0,
        ]);
        assert_eq!(shifted(&planes, [3, 4], [0, 0]), planes);
        assert_eq!(shifted(&planes, [3, 4], [0, 2])[..4], [2.0, 3.0, 2.0, 1.0]);
    }
}
