//! The bars of the mean blend weights.

use super::canvas::{Anchor, Canvas, Font};
use super::rows::{Rows, Share};
use super::{CLEAN, DOMAIN, FAINT, GRID, HEAD, INK, LABEL, WHITE, heading};

const BAR: f64 = 280.0;
const COLUMN: f64 = 44.0;
const ROW: f64 = 20.0;
/// The room for the axis' numbers.
const AXIS: f64 = 24.0;

/// Pixels across.
pub const WIDTH: f64 = LABEL + 8.0 + BAR + 2.0 * COLUMN;

/// Pixels down.
pub fn height(rows: &Rows) -> f64 {
    let families = rows.blocks.iter().filter(|block| block.family.is_some()).count();
    let lines = rows.ops().count() + families + usize::from(rows.others.is_some());
    HEAD + lines as f64 * ROW + AXIS
}

pub fn draw(canvas: &mut Canvas, x: f64, y: f64, rows: &Rows) {
    heading(canvas, x, y, "Mean blend weights", "percent of their sum");
    let (left, top) = (x + LABEL + 8.0, y + HEAD);
    let bottom = y + height(rows) - AXIS;
    let most = rows.ops().map(|op| op.1).chain(rows.others.map(|others| others.1));
    let most = most.map(Share::larger).fold(0.0, f64::max).max(1e-3);
    let step = tick(most);
    // A little beyond the longest bar.
    let scale = BAR / (1.04 * most);
    for i in 0..=(most / step) as usize {
        let (share, place) = (i as f64 * step, left + i as f64 * step * scale);
        canvas.line(&[(place, top), (place, bottom)], 1.0, GRID, 1.0);
        canvas.text(
            place,
            bottom + 10.0,
            Anchor::Middle,
            Font::plain(10.0),
            FAINT,
            &axis_number(100.0 * share),
        );
    }
    let right = left + BAR + COLUMN;
    canvas.text(right, top - 8.0, Anchor::Right, Font::plain(10.0), DOMAIN, "domain");
    if rows.has_clean {
        canvas.text(right + COLUMN, top - 8.0, Anchor::Right, Font::plain(10.0), CLEAN, "clean");
    }

    let mut middle = top + ROW / 2.0;
    let numbers = |canvas: &mut Canvas, middle: f64, share: Share, font: Font| {
        canvas.text(right, middle, Anchor::Right, font, DOMAIN, &format!("{:.1}", 100.0 * share.domain));
        if rows.has_clean {
            let clean = format!("{:.1}", 100.0 * share.clean);
            canvas.text(right + COLUMN, middle, Anchor::Right, font, CLEAN, &clean);
        }
    };
    let bars = |canvas: &mut Canvas, middle: f64, share: Share, opacity: f64| {
        let (wide, narrow) = if rows.has_clean { (8.0, 6.0) } else { (12.0, 0.0) };
        let upper = middle - (wide + narrow) / 2.0;
        canvas.rect(left, upper, scale * share.domain, wide, DOMAIN, opacity);
        if rows.has_clean {
            canvas.rect(left, upper + wide, scale * share.clean, narrow, CLEAN, opacity);
        }
    };
    for block in &rows.blocks {
        if let Some((family, share)) = &block.family {
            canvas.text(left - 8.0, middle, Anchor::Right, Font::bold(11.0), INK, family);
            canvas.rect(left, middle - ROW / 2.0, BAR, ROW, WHITE, 1.0);
            canvas.text(left + 4.0, middle, Anchor::Left, Font::plain(10.0), FAINT, "all radii together");
            numbers(canvas, middle, *share, Font::bold(11.0));
            middle += ROW;
        }
        for (name, share) in &block.ops {
            canvas.text(left - 8.0, middle, Anchor::Right, Font::plain(11.0), INK, name);
            bars(canvas, middle, *share, 1.0);
            numbers(canvas, middle, *share, Font::plain(11.0));
            middle += ROW;
        }
    }
    if let Some((count, share)) = rows.others {
        canvas.text(left - 8.0, middle, Anchor::Right, Font::plain(11.0), FAINT, &format!("{count} others"));
        bars(canvas, middle, share, 0.4);
        numbers(canvas, middle, share, Font::plain(11.0));
    }
    canvas.line(&[(left, top), (left, bottom)], 1.0, FAINT, 1.0);
}

/// The step of an axis that has at most five: 1, 2 or 5 times a power of ten.
fn tick(most: f64) -> f64 {
    let rough = most / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * power >= 0.999 * rough);
    step.unwrap_or(10.0) * power
}

fn axis_number(percent: f64) -> String {
    let rounded = (percent * 100.0).round() / 100.0;
    format!("{rounded}")
}
