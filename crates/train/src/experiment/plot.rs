//! An experiment's accuracies as bars: a panel for each domain, a bar for each contender.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::WITH_DYNTTA;
use super::report::Statistic;

const LABELS: i32 = 250;
const PANEL: i32 = 180;
const GAP: i32 = 26;
const HEAD: i32 = 46;
const ROW: i32 = 34;
const FOOT: i32 = 30;
const INK: RGBColor = RGBColor(40, 40, 48);
const FAINT: RGBColor = RGBColor(215, 215, 222);
const ALONE: RGBColor = RGBColor(66, 112, 178);
const ENHANCED: RGBColor = RGBColor(236, 156, 72);

/// An SVG of the accuracies of `contenders`, one value for each of `domains`; those with [`WITH_DYNTTA`] behind the name of
/// another share its row. Whiskers are a standard deviation each way.
pub(super) fn bars(domains: &[String], contenders: &[(String, Vec<Option<Statistic>>)]) -> String {
    let rows: Vec<&(String, Vec<Option<Statistic>>)> =
        contenders.iter().filter(|(name, _)| !name.ends_with(WITH_DYNTTA)).collect();
    let width = LABELS + domains.len() as i32 * (PANEL + GAP);
    let height = HEAD + rows.len() as i32 * ROW + FOOT;
    let mut svg = String::new();
    draw(&mut svg, (width, height), domains, &rows, contenders).expect("a string takes everything");
    svg
}

fn draw(
    svg: &mut String,
    (width, height): (i32, i32),
    domains: &[String],
    rows: &[&(String, Vec<Option<Statistic>>)],
    contenders: &[(String, Vec<Option<Statistic>>)],
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, (width as u32, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |text: &str, at: (i32, i32), size: i32, horizontal: HPos| {
        let style = ("sans-serif", size).into_font().color(&INK).pos(Pos::new(horizontal, VPos::Center));
        area.draw(&Text::new(text.to_owned(), at, style))
    };
    let bottom = HEAD + rows.len() as i32 * ROW;
    for (r, (name, _)) in rows.iter().enumerate() {
        text(name, (LABELS - 10, HEAD + r as i32 * ROW + ROW / 2), 13, HPos::Right)?;
    }
    let legend = [(ALONE, "alone"), (ENHANCED, "behind DynTTA")];
    for (i, (color, name)) in legend.into_iter().enumerate() {
        let y = 16 + 16 * i as i32;
        area.draw(&Rectangle::new([(14, y - 5), (34, y + 5)], color.filled()))?;
        text(name, (40, y), 12, HPos::Left)?;
    }
    for (d, domain) in domains.iter().enumerate() {
        let left = LABELS + d as i32 * (PANEL + GAP);
        // From ten to twenty below the least value to the next five above the greatest.
        let of = |(_, values): &(String, Vec<Option<Statistic>>)| values[d].map(|s| s.mean);
        let all: Vec<f64> = contenders.iter().filter_map(of).collect();
        let least = all.iter().copied().fold(1.0, f64::min);
        let low = ((least * 10.0).floor() / 10.0 - 0.1).max(0.0);
        let high = ((all.iter().copied().fold(0.0, f64::max) * 20.0).ceil() / 20.0).clamp(low + 0.1, 1.0);
        let x = |accuracy: f64| {
            left + ((accuracy.clamp(low, high) - low) / (high - low) * f64::from(PANEL)).round() as i32
        };
        text(domain, (left + PANEL / 2, 16), 14, HPos::Center)?;
        let mut tick = (low * 10.0).round() / 10.0;
        while tick <= high + 1e-9 {
            area.draw(&PathElement::new([(x(tick), HEAD), (x(tick), bottom)], FAINT))?;
            text(&format!("{:.0}", 100.0 * tick), (x(tick), bottom + 12), 11, HPos::Center)?;
            tick += 0.1;
        }
        for (r, (name, values)) in rows.iter().enumerate() {
            let enhanced = contenders.iter().find(|(other, _)| *other == format!("{name}{WITH_DYNTTA}"));
            let top = HEAD + r as i32 * ROW + 4;
            let bars = [(values[d], ALONE), (enhanced.and_then(|(_, v)| v[d]), ENHANCED)];
            for (i, (value, color)) in bars.into_iter().enumerate() {
                let Some(Statistic { mean, deviation }) = value else { continue };
                let (y0, y1) = (top + 13 * i as i32, top + 13 * i as i32 + 12);
                area.draw(&Rectangle::new([(left, y0), (x(mean), y1)], color.filled()))?;
                if let Some(deviation) = deviation {
                    let middle = (y0 + y1) / 2;
                    let ends = [(x(mean - deviation), middle), (x(mean + deviation), middle)];
                    area.draw(&PathElement::new(ends, INK))?;
                }
                let label = format!("{:.1}", 100.0 * mean);
                let style =
                    ("sans-serif", 11).into_font().color(&WHITE).pos(Pos::new(HPos::Left, VPos::Center));
                area.draw(&Text::new(label, (left + 4, (y0 + y1) / 2), style))?;
            }
        }
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_and_domain_is_named_and_drawn() {
        let value = |mean| Some(Statistic { mean, deviation: Some(0.01) });
        let contenders = [
            ("as it was".to_owned(), vec![value(0.5), value(0.8)]),
            (format!("as it was{WITH_DYNTTA}"), vec![value(0.7), None]),
            ("retrained".to_owned(), vec![value(0.0), value(1.0)]),
        ];
        let svg = bars(&["fog:3".into(), "natural".into()], &contenders);
        for text in ["as it was", "retrained", "fog:3", "natural", "50.0", "70.0", "80.0", "behind DynTTA"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg, bars(&["fog:3".into(), "natural".into()], &contenders));
    }
}
