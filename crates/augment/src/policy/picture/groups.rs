//! The heat map of the weights by corruption.

use super::canvas::{Anchor, Canvas, Colour, Font};
use super::rows::Rows;
use super::{DOMAIN, FAINT, HEAD, INK, PolicyGroup, WHITE, heading, percent, shortened};

const LABEL: f64 = 150.0;
const ROW: f64 = 20.0;
/// The room between all images and their parts.
const BREAK: f64 = 6.0;
/// The widest cell.
const CELL: f64 = 86.0;
/// The room for the ops' names.
const NAMES: f64 = 12.0;
/// The largest weights' colour; half of them have [`DOMAIN`].
const DARK: Colour = Colour(110, 40, 0);

/// Pixels down.
pub fn height(rows: &Rows, groups: &[&PolicyGroup]) -> f64 {
    HEAD + NAMES + ROW * (1 + usize::from(rows.has_clean) + groups.len()) as f64 + BREAK
}

pub fn draw(canvas: &mut Canvas, x: f64, y: f64, width: f64, rows: &Rows, groups: &[&PolicyGroup]) {
    heading(canvas, x, y, "Mean blend weights by corruption", "percent; images in brackets");
    let names: Vec<&str> = rows.ops().map(|op| op.0.as_str()).collect();
    let mut lines: Vec<(String, Vec<f64>)> =
        vec![("all".to_owned(), rows.ops().map(|op| op.1.domain).collect())];
    if rows.has_clean {
        lines.insert(0, ("clean".to_owned(), rows.ops().map(|op| op.1.clean).collect()));
    }
    let whole = lines.len();
    for group in groups {
        // Their small weights are left out, so that the sum may be less than 1.
        let sum = group.weights.values().sum::<f64>().max(1.0);
        let shares = names.iter().map(|name| group.weights.get(*name).map_or(0.0, |weight| weight / sum));
        lines.push((format!("{} ({})", shortened(&group.name, 18), group.images), shares.collect()));
    }
    let most = lines.iter().flat_map(|line| &line.1).copied().fold(0.0, f64::max).max(1e-3);

    let left = x + LABEL;
    let cell = ((width - LABEL) / names.len().max(1) as f64).min(CELL);
    let top = y + HEAD + NAMES;
    let font = Font::plain((cell / 5.8).clamp(8.0, 10.0));
    for (i, name) in names.iter().enumerate() {
        let middle = left + cell * (i as f64 + 0.5);
        let (upper, lower) = name.rsplit_once('_').unwrap_or(("", name));
        canvas.text(middle, top - 20.0, Anchor::Middle, font, INK, upper);
        canvas.text(middle, top - 8.0, Anchor::Middle, font, INK, lower);
    }
    for (i, (label, shares)) in lines.iter().enumerate() {
        let upper = top + ROW * i as f64 + if i < whole { 0.0 } else { BREAK };
        let middle = upper + ROW / 2.0;
        let font = if i < whole { Font::bold(11.0) } else { Font::plain(11.0) };
        canvas.text(left - 8.0, middle, Anchor::Right, font, INK, label);
        for (k, &share) in shares.iter().enumerate() {
            let begin = left + cell * k as f64;
            let depth = share / most;
            canvas.rect(begin, upper, cell - 1.0, ROW - 1.0, shade(depth), 1.0);
            let (ink, text) = match share {
                0.0 => (FAINT, "\u{b7}".to_owned()),
                _ if depth > 0.45 => (WHITE, percent(share)),
                _ => (INK, percent(share)),
            };
            canvas.text(begin + cell / 2.0, middle, Anchor::Middle, Font::plain(10.0), ink, &text);
        }
    }
}

/// From near white over the domain's colour to a dark one.
fn shade(depth: f64) -> Colour {
    let pale = Colour(250, 246, 242);
    if depth < 0.5 { pale.towards(DOMAIN, 2.0 * depth) } else { DOMAIN.towards(DARK, 2.0 * depth - 1.0) }
}
