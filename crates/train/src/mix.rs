//! Images mixed in pairs, their labels with them: mixup (Zhang et al., ICLR 2018, arXiv 1710.09412) and CutMix (Yun et al.,
//! ICCV 2019, arXiv 1905.04899).

use dyntta_data::Batch;
use dyntta_image::Stream;

use crate::recipe::Recipe;

/// What became of a batch.
pub(crate) struct Mixed {
    /// The class of each image's partner.
    pub partners: Vec<usize>,
    /// The share of each image in its mixture; the rest is its partner's.
    pub share: f64,
}

/// Mixes each image of `batch` with the next, the last with the first: an epoch's order is random already. One share, from
/// Beta(alpha, alpha), and one rectangle for the whole batch. `None`, and nothing drawn, if the recipe has neither; with both,
/// each batch takes one of them, evenly.
pub(crate) fn mix(batch: &mut Batch, recipe: &Recipe, epoch: usize, step: usize) -> Option<Mixed> {
    if recipe.mixup.is_none() && recipe.cutmix.is_none() {
        return None;
    }
    let mut stream = Stream::new(recipe.seed, &["mix", &epoch.to_string(), &step.to_string()]);
    let cut = match (recipe.mixup, recipe.cutmix) {
        (Some(_), Some(_)) => stream.below(2) == 1,
        (_, cutmix) => cutmix.is_some(),
    };
    let alpha = if cut { recipe.cutmix } else { recipe.mixup }?;
    let share = beta(alpha, &mut stream);
    let partners: Vec<usize> = (0..batch.len()).map(|i| batch.labels[(i + 1) % batch.len()]).collect();
    let share = if cut { paste(batch, share, &mut stream) } else { blend(batch, share as f32) };
    Some(Mixed { partners, share })
}

/// A draw from Beta(alpha, alpha), as the share of one of two draws from Gamma(alpha).
fn beta(alpha: f64, stream: &mut Stream) -> f64 {
    let (a, b) = (stream.gamma(alpha), stream.gamma(alpha));
    if a + b > 0.0 { a / (a + b) } else { 0.5 }
}

fn blend(batch: &mut Batch, share: f32) -> f64 {
    let size = batch.images.len() / batch.len();
    let first = batch.images[..size].to_vec();
    for i in 0..batch.len() {
        let (own, rest) = batch.images[i * size..].split_at_mut(size);
        let partner = if rest.is_empty() { &first } else { &rest[..size] };
        own.iter_mut().zip(partner).for_each(|(own, other)| *own += (1.0 - share) * (other - *own));
    }
    f64::from(share)
}

/// Puts a rectangle of the partner into each image, of about `1 - share` of its area and with its proportions, about an even
/// centre and cut off at the edges; returns the share that is left.
fn paste(batch: &mut Batch, share: f64, stream: &mut Stream) -> f64 {
    let (w, h) = (batch.width, batch.height);
    let part = (1.0 - share).sqrt();
    let span = |extent: usize, stream: &mut Stream| {
        let half = (part * extent as f64 / 2.0).round() as usize;
        let centre = stream.below(extent);
        centre.saturating_sub(half)..(centre + half).min(extent)
    };
    let (columns, rows) = (span(w, stream), span(h, stream));
    let size = 3 * w * h;
    let first = batch.images[..size].to_vec();
    for i in 0..batch.len() {
        let (own, rest) = batch.images[i * size..].split_at_mut(size);
        let partner = if rest.is_empty() { &first } else { &rest[..size] };
        for line in (0..3).flat_map(|channel| rows.clone().map(move |y| (channel * h + y) * w)) {
            let at = line + columns.start..line + columns.end;
            own[at.clone()].copy_from_slice(&partner[at]);
        }
    }
    1.0 - (columns.len() * rows.len()) as f64 / (w * h) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(mixup: Option<f64>, cutmix: Option<f64>) -> Recipe {
        Recipe { batch_size: 3, mixup, cutmix, ..Recipe::PLAIN }
    }

    /// Three images of one value each: 0, 1 and 4.
    fn batch() -> Batch {
        let images = [0.0f32, 1.0, 4.0].iter().flat_map(|v| vec![*v; 3 * 8 * 6]).collect();
        Batch { images, labels: vec![5, 6, 7], indices: vec![0, 1, 2], width: 8, height: 6 }
    }

    #[test]
    fn every_image_is_mixed_with_the_next() {
        let mut mixed = batch();
        let found = mix(&mut mixed, &recipe(Some(1.0), None), 0, 0).unwrap();
        assert_eq!(found.partners, [6, 7, 5]);
        assert!(found.share > 0.0 && found.share < 1.0);
        for (i, (own, partner)) in [(0.0, 1.0), (1.0, 4.0), (4.0, 0.0)].into_iter().enumerate() {
            let expected = found.share * own + (1.0 - found.share) * partner;
            let image = &mixed.images[i * 144..][..144];
            assert!(image.iter().all(|v| (f64::from(*v) - expected).abs() < 1e-5), "{i}");
        }
    }

    #[test]
    fn a_pasted_rectangle_has_the_area_that_the_labels_say() {
        for step in 0..50 {
            let mut mixed = batch();
            let found = mix(&mut mixed, &recipe(None, Some(1.0)), 0, step).unwrap();
            for (i, (own, partner)) in [(0.0, 1.0), (1.0, 4.0), (4.0, 0.0)].into_iter().enumerate() {
                let image = &mixed.images[i * 144..][..144];
                assert!(image.iter().all(|v| *v == own || *v == partner));
                let kept = image.iter().filter(|v| **v == own).count() as f64 / 144.0;
                assert!((kept - found.share).abs() < 1e-9, "{kept} and {}", found.share);
            }
        }
    }

    #[test]
    fn shares_are_beta_distributed_and_both_kinds_occur() {
        let draw = |alpha: f64, i: usize| beta(alpha, &mut Stream::new(1, &[&i.to_string()]));
        let n = 20_000;
        for alpha in [0.2, 1.0, 4.0] {
            let all: Vec<f64> = (0..n).map(|i| draw(alpha, i)).collect();
            let mean = all.iter().sum::<f64>() / n as f64;
            let variance = all.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n as f64;
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((mean - 0.5).abs() < 5.0 * (expected / n as f64).sqrt(), "{alpha}: {mean}");
            assert!((variance - expected).abs() < 0.05 * expected, "{alpha}: {variance}");
        }
        assert!(mix(&mut batch(), &recipe(None, None), 0, 0).is_none());
        let cut = (0..40).filter(|&step| {
            let mut mixed = batch();
            mix(&mut mixed, &recipe(Some(1.0), Some(1.0)), 0, step).unwrap();
            mixed.images.iter().all(|v| [0.0, 1.0, 4.0].contains(v))
        });
        assert!((8..33).contains(&cut.count()));
    }
}
