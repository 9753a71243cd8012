//! Policies as pictures.

mod bars;
mod canvas;
mod groups;
mod ridges;
mod rows;

use canvas::{Anchor, Canvas, Colour, Font};
use rows::Rows;

use super::{Policy, PolicyGroup};

/// Colours that the colour-blind tell apart (Okabe and Ito's vermilion and blue).
const DOMAIN: Colour = Colour(213, 94, 0);
const CLEAN: Colour = Colour(0, 114, 178);
const INK: Colour = Colour(34, 34, 34);
const FAINT: Colour = Colour(110, 110, 110);
const GRID: Colour = Colour(226, 226, 226);
const WHITE: Colour = Colour(255, 255, 255);

/// Pixels around and between the panels.
const MARGIN: f64 = 24.0;
const GAP: f64 = 40.0;
/// Where the panels begin, below the title and the legend.
const TOP: f64 = 94.0;
/// The room for a panel's title and its note.
const HEAD: f64 = 44.0;
/// The width of a row's label.
const LABEL: f64 = 112.0;

impl Policy {
    /// The policy as an SVG, on white and 1146 pixels wide.
    ///
    /// - On the left bars of the mean blend weights, in percent of their sum, over the domain and over clean images. The
    ///   ops stand by falling weight over the domain, filters of one family together by rising radius. The 8 largest are
    ///   shown and those of 1 % or more on either, 20 at most, and the others summed up.
    /// - On the right the distributions of the factors, each on an axis from the op's lowest to its highest factor with
    ///   the neutral one marked. The densities are those of the shares between the quantiles spread evenly, smoothed by
    ///   a normal kernel of 0.8 % of the axis, equally high for equal density within an op. Paler is less weight: the
    ///   opacity is the root of the weight's ratio to 10 %, at least 0.2.
    /// - Below, with two groups by corruption or more, their weights in percent as a heat map.
    ///
    /// The same policy gives the same text. Panels that have nothing to show are left out.
    pub fn picture(&self) -> String {
        let rows = Rows::of(self);
        let ridges = ridges::of(self, &rows);
        let groups: Vec<&PolicyGroup> = self.groups.iter().filter(|group| group.by == "corruption").collect();
        let middle = bars::height(&rows).max(ridges::height(&ridges));
        let below = if groups.len() > 1 { GAP + groups::height(&rows, &groups) } else { 0.0 };
        let right = MARGIN + bars::WIDTH + GAP;
        let width = right + ridges::WIDTH + MARGIN;

        canvas::svg(width, TOP + middle + below + MARGIN, |canvas| {
            self.title(canvas, rows.has_clean);
            bars::draw(canvas, MARGIN, TOP, &rows);
            if !ridges.is_empty() {
                ridges::draw(canvas, right, TOP, &ridges);
            }
            if groups.len() > 1 {
                groups::draw(canvas, MARGIN, TOP + middle + GAP, width - 2.0 * MARGIN, &rows, &groups);
            }
        })
    }

    fn title(&self, canvas: &mut Canvas, has_clean: bool) {
        let about = |key: &str| self.about.get(key).map(|value| shortened(value, 40));
        let setting = about("setting");
        let title = setting.as_ref().map_or(String::new(), |setting| format!(": {setting}"));
        canvas.text(
            MARGIN,
            28.0,
            Anchor::Left,
            Font::bold(17.0),
            INK,
            &format!("Augmentation policy{title}"),
        );
        let sources: Vec<String> = ["enhancer", "classifier", "data"]
            .iter()
            .filter_map(|key| {
                let path = self.about.get(*key)?;
                let last = path.rsplit(['/', '\\']).find(|part| !part.is_empty())?;
                Some(format!("{key} {}", shortened(last, 40)))
            })
            .collect();
        canvas.text(MARGIN, 48.0, Anchor::Left, Font::plain(11.0), FAINT, &sources.join(", "));

        let images = |key| about(key).map_or(String::new(), |count| format!(" ({count} images)"));
        let mut entries =
            vec![(DOMAIN, format!("{}{}", setting.as_deref().unwrap_or("the domain"), images("images")))];
        if has_clean {
            entries.push((CLEAN, format!("clean{}", images("clean-images"))));
        }
        let mut x = MARGIN;
        for (colour, text) in entries {
            canvas.rect(x, 62.0, 11.0, 11.0, colour, 1.0);
            canvas.text(x + 17.0, 67.5, Anchor::Left, Font::plain(12.0), INK, &text);
            x += 45.0 + 7.2 * text.chars().count() as f64;
        }
    }
}

/// A panel's title and the note below it.
fn heading(canvas: &mut Canvas, x: f64, y: f64, title: &str, note: &str) {
    canvas.text(x, y + 8.0, Anchor::Left, Font::bold(13.0), INK, title);
    canvas.text(x, y + 25.0, Anchor::Left, Font::plain(10.0), FAINT, note);
}

/// At most `most` characters of a text.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['\u{2026}']).collect()
}

/// A share in percent: one decimal place below 10 %.
fn percent(share: f64) -> String {
    let value = 100.0 * share;
    if 0.0 < value && value < 0.05 {
        return "<0.1".to_owned();
    }
    if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests;
