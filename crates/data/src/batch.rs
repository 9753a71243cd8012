//! Decoded, transformed and stacked images.

use std::sync::Arc;

use dyntta_image::Rgb8;

use crate::{Dataset, Error, Prefetch, Sample, prefetch};

/// Images of one size, stacked.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// NCHW: `[len, 3, height, width]`, each value in `0..=1`.
    pub images: Vec<f32>,
    /// The class of each image.
    pub labels: Vec<usize>,
    /// The index in the data set of each image.
    pub indices: Vec<usize>,
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Batch {
    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image: all its files were broken and skipped.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// Loads the images of `indices`, passes each through `transform` and stacks them in batches of `batch_size` (brought
/// to at least 1; the last batch may be smaller), in order. Loading and transforming go on ahead on `workers` threads,
/// two batches deep, stacking on one more; see [`prefetch`]. What `transform` draws should come from a stream labelled
/// with [`Sample::path`], so that the result does not depend on the threads.
///
/// A batch with an image that cannot be loaded, or whose size differs from that of the batch's first, is an error;
/// the batches after it follow all the same. After [`Dataset::skip_broken`] an image that cannot be loaded is left out
/// of its batch instead; the others stay in theirs.
///
/// # Panics
/// In the consumer, if an index is not below [`Dataset::len`] or if `transform` panics.
pub fn batches<I, F>(
    dataset: Arc<Dataset>,
    indices: I,
    batch_size: usize,
    workers: usize,
    transform: F,
) -> Prefetch<Result<Batch, Error>>
where
    I: IntoIterator<Item = usize>,
    I::IntoIter: Send + 'static,
    F: Fn(&Sample, Rgb8) -> Rgb8 + Send + Sync + 'static,
{
    let batch_size = batch_size.max(1);
    let ahead = batch_size.saturating_mul(2).max(workers.saturating_mul(2));
    let set = dataset.clone();
    let mut images = prefetch(indices.into_iter(), workers, ahead, move |i| {
        (i, set.load(i).map(|image| transform(&set.samples[i], image)))
    });
    let chunks = std::iter::from_fn(move || {
        let chunk: Vec<_> = images.by_ref().take(batch_size).collect();
        (!chunk.is_empty()).then_some(chunk)
    });
    prefetch(chunks, 1, 1, move |chunk| stack(&dataset, chunk))
}

fn stack(dataset: &Dataset, chunk: Vec<(usize, Result<Rgb8, Error>)>) -> Result<Batch, Error> {
    let mut batch =
        Batch { images: Vec::new(), labels: Vec::new(), indices: Vec::new(), width: 0, height: 0 };
    let count = chunk.len();
    for (index, image) in chunk {
        let sample = &dataset.samples[index];
        let image = match (image, &dataset.skipped) {
            (Ok(image), _) => image,
            (Err(error), Some(log)) => {
                log.note(dataset.locate(sample), &error);
                continue;
            }
            (Err(error), None) => return Err(error),
        };
        let place = batch.len();
        if place == 0 {
            (batch.width, batch.height) = (image.width(), image.height());
            batch.images = vec![0.0; count * image.data().len()];
        }
        let (expected, found) = ((batch.width, batch.height), (image.width(), image.height()));
        if expected != found {
            return Err(Error::BatchSize { path: sample.path.clone(), expected, found });
        }
        let n = image.data().len();
        image.write_planar(&mut batch.images[place * n..(place + 1) * n]);
        batch.labels.push(sample.class);
        batch.indices.push(index);
    }
    let kept = batch.len() * 3 * batch.width * batch.height;
    batch.images.truncate(kept);
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use dyntta_image::{Stream, crop};

    fn seven() -> (Folder, Arc<Dataset>) {
        let folder = Folder::new();
        for i in 0..7 {
            folder.image(&format!("{}/{i}.png", i % 2), 10 * i);
        }
        let set = Arc::new(Dataset::open(&folder.0, &Default::default()).unwrap());
        (folder, set)
    }

    #[test]
    fn batches_are_planar_labelled_and_the_same_on_any_number_of_threads() {
        let (_folder, set) = seven();
        let make = |workers| {
            let tint = |sample: &Sample, mut image: Rgb8| {
                let mut stream = Stream::new(1, &[&sample.path]);
                image.data_mut().chunks_exact_mut(3).for_each(|p| p[1] = stream.next_u32() as u8);
                image
            };
            batches(set.clone(), [6, 0, 5, 1, 2], 2, workers, tint).collect::<Result<Vec<_>, _>>().unwrap()
        };
        let one = make(1);
        assert_eq!(one.iter().map(Batch::len).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!((one[0].width, one[0].height, one[0].images.len()), (3, 2, 2 * 18));
        assert_eq!(one[0].indices, [6, 0]);
        assert_eq!(one[0].labels, [1, 0]);
        let (first, second) = one[0].images.split_at(18);
        assert_eq!(first[..6], [50.0 / 255.0; 6], "red of image 6, which is 1/5.png");
        assert_eq!(first[12..], [50.0 / 255.0; 6]);
        assert_eq!(second[..6], [0.0; 6]);
        for workers in [0, 2, 5] {
            assert_eq!(make(workers), one);
        }
    }

    #[test]
    fn an_image_that_fails_fails_its_batch_alone() {
        let (folder, set) = seven();
        folder.file("1/1.png", "no picture");
        let results: Vec<_> = batches(set.clone(), 0..7, 2, 2, |_, image| image).collect();
        let failed: Vec<bool> = results.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, false, true, false]);
        assert!(results[2].as_ref().unwrap_err().to_string().contains("1/1.png: expected a JPEG"));

        let rect = |w| dyntta_image::Rect { top: 0, left: 0, width: w, height: 1 };
        let uneven = move |s: &Sample, image: Rgb8| {
            crop(&image, rect(if s.path == "0/2.png" { 1 } else { 3 })).unwrap()
        };
        let error = batches(set, 0..2, 2, 1, uneven).next().unwrap().unwrap_err().to_string();
        assert_eq!(error, "0/2.png: expected an image of 3x1 pixels as the first of its batch, found 1x1");
    }

    #[test]
    fn a_broken_file_is_an_error_or_is_left_out_and_counted_once() {
        let (folder, _) = seven();
        folder.file("0/2.png", "no picture");
        folder.file("1/9.jpg", "");
        let set = Dataset::open(&folder.0, &crate::Options::default()).unwrap();
        let run = |set: &Dataset| {
            let set = Arc::new(set.clone());
            batches(set.clone(), 0..set.len(), 2, 3, |_, image| image).collect::<Vec<_>>()
        };
        let failed = run(&set);
        assert!(failed[0].as_ref().unwrap_err().to_string().contains("0/2.png"), "{:?}", failed[0]);
        let log = crate::Skipped::default();
        let skipping = set.skip_broken(&log);
        let (first, again) = (run(&skipping), run(&skipping.subset(&[1, 7])));
        let kept: Vec<Vec<usize>> = first.iter().map(|b| b.as_ref().unwrap().indices.clone()).collect();
        // Each batch is of the images that it would have been, so that a resumed run finds its place.
        assert_eq!(kept, [vec![0], vec![2, 3], vec![4, 5], vec![6]]);
        assert_eq!(first[0].as_ref().unwrap().images.len(), 18);
        assert!(again[0].as_ref().unwrap().is_empty() && again[0].as_ref().unwrap().images.is_empty());
        assert_eq!(log.count(), 2);
        assert!(
            log.errors()[0].contains("0/2.png") && log.errors()[1].contains("1/9.jpg"),
            "{:?}",
            log.errors()
        );
    }
}
