//! The distributions of the factors.

use dyntta_ops::Magnitude;

use super::canvas::{Anchor, Canvas, Colour, Font};
use super::rows::{Rows, Share};
use super::{CLEAN, DOMAIN, FAINT, GRID, HEAD, INK, LABEL, Policy, heading, percent};
use crate::policy::{Distribution, PolicyOp, QUANTILES};

const AXIS: f64 = 308.0;
const NUMBERS: f64 = 124.0;
const ROW: f64 = 52.0;
/// How high the densest place of a row is.
const PEAK: f64 = 32.0;
/// The number of places of a density.
const BINS: usize = 320;
/// The standard deviation of the smoothing, in bins.
const SMOOTH: f64 = 2.5;
/// The share of the weights that is drawn in full.
const FULL: f64 = 0.1;
const PALEST: f64 = 0.2;

/// Pixels across.
pub const WIDTH: f64 = LABEL + 10.0 + AXIS + 16.0 + NUMBERS;

/// A row of the panel.
pub struct Ridge<'a> {
    op: &'a PolicyOp,
    share: Share,
    magnitude: Magnitude,
}

/// The ops with a known factor by falling weight.
pub fn of<'a>(policy: &'a Policy, rows: &Rows) -> Vec<Ridge<'a>> {
    let mut ridges: Vec<Ridge> = policy
        .ops
        .iter()
        .zip(&rows.shares)
        .filter(|(op, _)| op.factor.is_some() || op.clean_factor.is_some())
        .filter_map(|(op, &share)| {
            let magnitude = dyntta_ops::bank::op(&op.name)?.magnitude()?;
            Some(Ridge { op, share, magnitude })
        })
        .collect();
    ridges.sort_by(|a, b| b.share.larger().total_cmp(&a.share.larger()));
    ridges
}

/// Pixels down.
pub fn height(ridges: &[Ridge]) -> f64 {
    HEAD + ROW * ridges.len() as f64
}

pub fn draw(canvas: &mut Canvas, x: f64, y: f64, ridges: &[Ridge]) {
    let note = "from the op's lowest to its highest; the line is neutral; paler is less weight";
    heading(canvas, x, y, "Factors", note);
    let right = x + WIDTH;
    canvas.text(right, y + HEAD - 8.0, Anchor::Right, Font::plain(10.0), FAINT, "median (5 to 95 %)");
    for (i, ridge) in ridges.iter().enumerate() {
        ridge.draw(canvas, x, y + HEAD + ROW * (i + 1) as f64 - 14.0);
    }
}

impl Ridge<'_> {
    /// Draws with the axis at `base`.
    fn draw(&self, canvas: &mut Canvas, x: f64, base: f64) {
        let (low, high) = self.magnitude.range();
        let left = x + LABEL + 10.0;
        let (label, unit) = (left - 10.0, self.magnitude.unit);
        let name = if unit.is_empty() { self.op.name.clone() } else { format!("{}, {unit}", self.op.name) };
        // Text stays readable.
        let faded = |colour: Colour, share: f64| colour.towards(Colour(150, 150, 150), 1.0 - opacity(share));
        canvas.text(
            label,
            base - 20.0,
            Anchor::Right,
            Font::bold(11.0),
            faded(INK, self.share.larger()),
            &name,
        );
        let weight = format!("weight {} %", percent(self.share.domain));
        canvas.text(label, base - 6.0, Anchor::Right, Font::plain(10.0), FAINT, &weight);

        let neutral = left + AXIS * f64::from((self.magnitude.neutral - low) / (high - low));
        canvas.line(&[(left, base), (left + AXIS, base)], 1.0, GRID, 1.0);
        canvas.line(&[(neutral, base - PEAK), (neutral, base + 3.0)], 1.0, FAINT, 0.8);
        for (place, value) in [(left, low), (neutral, self.magnitude.neutral), (left + AXIS, high)] {
            canvas.text(place, base + 9.0, Anchor::Middle, Font::plain(9.0), FAINT, &value.to_string());
        }

        let (low, high) = (f64::from(low), f64::from(high));
        let drawn: Vec<(&Distribution, Colour, f64, bool)> = [
            (&self.op.factor, DOMAIN, self.share.domain, true),
            (&self.op.clean_factor, CLEAN, self.share.clean, false),
        ]
        .into_iter()
        .filter_map(|(factors, colour, share, filled)| Some((factors.as_ref()?, colour, share, filled)))
        .collect();
        let densities: Vec<Vec<f64>> = drawn.iter().map(|drawn| density(drawn.0, low, high)).collect();
        let peak = densities.iter().flatten().copied().fold(0.0, f64::max);
        // Three digits of the largest number; 9.99 to 10.00 has them too.
        let largest =
            drawn.iter().flat_map(|drawn| &drawn.0.quantiles[1..6]).fold(0.0, |a: f64, q| a.max(q.abs()));
        let decimals = (2.0 - (0.99 * largest).log10().floor()).clamp(0.0, 3.0) as usize;
        for (i, (&(factors, colour, share, filled), density)) in drawn.iter().zip(&densities).enumerate() {
            let place = |i: usize| left + AXIS * (i as f64 + 0.5) / BINS as f64;
            let curve: Vec<(f64, f64)> =
                density.iter().enumerate().map(|(i, d)| (place(i), base - PEAK * d / peak)).collect();
            let mut outline = vec![(left, base), (left, curve[0].1)];
            outline.extend(&curve);
            outline.extend([(left + AXIS, curve[BINS - 1].1), (left + AXIS, base)]);
            // Two fills of about the same shape would make a third colour.
            if filled {
                canvas.area(&outline, colour, 0.35 * opacity(share));
            }
            canvas.line(&outline, 1.2, colour, opacity(share));

            let [from, median, to] = [1, 3, 5].map(|i| fixed(factors.quantiles[i], decimals));
            let line = base - 20.0 + 14.0 * i as f64;
            let text = format!("{median} ({from} to {to})");
            canvas.text(x + WIDTH, line, Anchor::Right, Font::plain(10.0), faded(colour, share), &text);
        }
    }
}

fn opacity(share: f64) -> f64 {
    (share / FULL).sqrt().clamp(PALEST, 1.0)
}

/// The share of a distribution in each of [`BINS`] equal parts of `low` to `high`, smoothed; what the smoothing takes
/// beyond an end comes back in.
fn density(factors: &Distribution, low: f64, high: f64) -> Vec<f64> {
    let place = |factor: f64| ((factor - low) / (high - low)).clamp(0.0, 1.0) * BINS as f64;
    let mut bins = vec![0.0; BINS];
    for i in 0..6 {
        let share = QUANTILES[i + 1] - QUANTILES[i];
        let (begin, end) = (place(factors.quantiles[i]), place(factors.quantiles[i + 1]));
        let first = (begin as usize).min(BINS - 1);
        let last = (end as usize).min(BINS - 1);
        if first == last {
            bins[first] += share;
            continue;
        }
        for bin in first..=last {
            let inside = end.min((bin + 1) as f64) - begin.max(bin as f64);
            bins[bin] += share * inside / (end - begin);
        }
    }
    let reach = (4.0 * SMOOTH).ceil() as i64;
    let kernel: Vec<f64> = (-reach..=reach).map(|d| (-0.5 * (d as f64 / SMOOTH).powi(2)).exp()).collect();
    let total: f64 = kernel.iter().sum();
    let mut smooth = vec![0.0; BINS];
    for (i, share) in bins.iter().enumerate() {
        for (d, weight) in (-reach..=reach).zip(&kernel) {
            let to = i as i64 + d;
            let to = if to < 0 { -1 - to } else { to.min(2 * BINS as i64 - 1 - to) };
            smooth[to as usize] += share * weight / total;
        }
    }
    smooth
}

/// With fixed decimal places, without a minus before zeros.
fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.bytes().all(|b| matches!(b, b'-' | b'0' | b'.')) {
        text.trim_start_matches('-').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn densities_are_the_shares_between_the_quantiles() {
        let even = Distribution { mean: 5.0, quantiles: QUANTILES.map(|q| 10.0 * q) };
        for d in density(&even, 0.0, 10.0) {
            assert!((d - 1.0 / BINS as f64).abs() < 1e-9, "{d}");
        }
        // A quarter of everything between 5 and 5.5, three quarters anywhere else that they are said to be.
        let uneven = Distribution { mean: 5.0, quantiles: [1.0, 2.0, 4.0, 5.0, 5.5, 9.0, 9.5] };
        let bins = density(&uneven, 0.0, 10.0);
        assert!((bins.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!((bins[BINS * 21 / 40] - 0.25 / (0.05 * BINS as f64)).abs() < 1e-2 * bins[BINS * 21 / 40]);
        assert!((bins[BINS * 45 / 100] - 0.25 / (0.1 * BINS as f64)).abs() < 1e-2 * bins[BINS * 45 / 100]);
        assert!(bins[..BINS / 20].iter().all(|&d| d < 1e-9));
        // A single value is a spike where it lies, at the ends too.
        for (value, at) in [(0.0, 0), (2.51, BINS / 4), (10.0, BINS - 1)] {
            let bins = density(&Distribution { mean: value, quantiles: [value; 7] }, 0.0, 10.0);
            assert!((bins.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            let peak = (0..BINS).max_by(|&a, &b| bins[a].total_cmp(&bins[b])).unwrap();
            assert_eq!(peak, at, "{value}");
        }
    }
}
