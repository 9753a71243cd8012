//! A graph against the runtime, by the reference.

use dyntta_runtime::Enhancer;

use crate::array::{Array, Data};
use crate::error::Error;
use crate::{Exported, Layout, Output, image, reference, sample};

/// How far apart two results are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    /// The largest difference of values in `0..=1`; for bytes, in levels of 255.
    pub largest: f32,
    /// The largest difference of the 8-bit results.
    pub levels: u8,
    /// The share of 8-bit values that differ.
    pub differing: f64,
}

impl Agreement {
    /// Of two results of the same layout.
    pub fn of(found: &Array, expected: &Array) -> Self {
        let levels = |data: &Data| -> Vec<f32> {
            match data {
                Data::U8(v) => v.iter().map(|&v| f32::from(v) / 255.0).collect(),
                Data::F32(v) => v.clone(),
                _ => Vec::new(),
            }
        };
        let (found, expected) = (levels(&found.data), levels(&expected.data));
        let mut all = Self::default();
        let mut count = 0usize;
        for (&a, &b) in found.iter().zip(&expected) {
            let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
            // What is no number must not pass for a small difference.
            let apart = if a.is_finite() { (a - b).abs() } else { f32::INFINITY };
            all.largest = all.largest.max(apart);
            let apart = byte(a).abs_diff(byte(b));
            all.levels = all.levels.max(apart);
            count += usize::from(apart > 0);
        }
        if found.len() != expected.len() || found.is_empty() {
            all.largest = f32::INFINITY;
        }
        all.differing = count as f64 / expected.len().max(1) as f64;
        all
    }
}

/// Runs a graph without a classifier by the reference on images `n` x `h` x `w`, and holds its enhanced images against those of
/// the runtime. The graph has the output `enhanced`.
///
/// # Errors
/// [`Error::Run`], if the graph can't be run.
pub fn check(
    exported: &Exported,
    enhancer: &Enhancer,
    layout: Layout,
    size: [usize; 3],
) -> Result<Agreement, Error> {
    let x = image(layout, size);
    let graph = exported.model.graph.as_ref();
    let names =
        graph.map(|g| g.output.iter().map(|o| o.name.clone()).collect::<Vec<_>>()).unwrap_or_default();
    let made = reference::run(&exported.model, &[("image", x.clone())])?;
    let place = names.iter().position(|name| name == Output::Enhanced.name());
    let found = place.and_then(|at| made.get(at)).ok_or_else(|| Error::Run {
        node: "the graph".into(),
        message: "expected an output `enhanced`, found none".into(),
    })?;
    let arrays = sample(enhancer, x, &[Output::Enhanced]);
    let expected = arrays.last().map(|(_, array)| array);
    Ok(expected.map_or_else(Agreement::default, |expected| Agreement::of(found, expected)))
}
