//! What the panels draw with.

use plotters::prelude::{
    Color as _, DrawingBackend, FontDesc, FontFamily, FontStyle, RGBColor, SVGBackend, TextStyle,
};
use plotters::style::ShapeStyle;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Units of the SVG to a pixel: the backend places everything on whole units, and curves would have steps of a pixel.
const UNITS: f64 = 8.0;

/// What the backend returns errors for is files.
const TEXT: &str = "drawn into a string";

/// Red, green and blue.
#[derive(Clone, Copy)]
pub struct Colour(pub u8, pub u8, pub u8);

impl Colour {
    /// From this colour at 0 to another at 1.
    pub fn towards(self, other: Self, share: f64) -> Self {
        let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * share).round() as u8;
        Self(mix(self.0, other.0), mix(self.1, other.1), mix(self.2, other.2))
    }

    fn style(self, opacity: f64) -> ShapeStyle {
        RGBColor(self.0, self.1, self.2).mix(opacity).filled()
    }
}

/// Which end of a text stands at its place.
#[derive(Clone, Copy)]
pub enum Anchor {
    Left,
    Middle,
    Right,
}

/// The size in pixels and the weight of a text.
#[derive(Clone, Copy)]
pub struct Font {
    size: f64,
    style: FontStyle,
}

impl Font {
    pub fn plain(size: f64) -> Self {
        Self { size, style: FontStyle::Normal }
    }

    pub fn bold(size: f64) -> Self {
        Self { size, style: FontStyle::Bold }
    }
}

/// An SVG on white, drawn on in pixels from the top left.
pub struct Canvas<'a> {
    backend: SVGBackend<'a>,
}

impl Canvas<'_> {
    /// A filled rectangle by its top left corner, width and height.
    pub fn rect(&mut self, x: f64, y: f64, w: f64, h: f64, colour: Colour, opacity: f64) {
        self.backend.draw_rect(units(x, y), units(x + w, y + h), &colour.style(opacity), true).expect(TEXT);
    }

    /// A line through points, `stroke` pixels wide.
    pub fn line(&mut self, points: &[(f64, f64)], stroke: f64, colour: Colour, opacity: f64) {
        let style = colour.style(opacity).stroke_width((stroke * UNITS).round() as u32);
        self.backend.draw_path(path(points), &style).expect(TEXT);
    }

    /// A filled polygon.
    pub fn area(&mut self, points: &[(f64, f64)], colour: Colour, opacity: f64) {
        self.backend.fill_polygon(path(points), &colour.style(opacity)).expect(TEXT);
    }

    /// A text whose middle line is at `y`; characters that XML hasn't become spaces.
    pub fn text(&mut self, x: f64, y: f64, anchor: Anchor, font: Font, colour: Colour, text: &str) {
        let h = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        // The backend divides by 1.24.
        let size = font.size * UNITS * 1.24;
        let desc = FontDesc::new(FontFamily::Name("Helvetica, Arial, sans-serif"), size, font.style);
        let colour = RGBColor(colour.0, colour.1, colour.2);
        let style = TextStyle::from(desc).color(&colour).pos(Pos::new(h, VPos::Center));
        let text = text.replace(|c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'), " ");
        self.backend.draw_text(&text, &style, units(x, y)).expect(TEXT);
    }
}

/// An SVG of this size in pixels, of what `draw` puts on it.
pub fn svg(width: f64, height: f64, draw: impl FnOnce(&mut Canvas)) -> String {
    let mut svg = String::new();
    let (w, h) = units(width, height);
    let mut canvas = Canvas { backend: SVGBackend::with_string(&mut svg, (w as u32, h as u32)) };
    canvas.rect(0.0, 0.0, width, height, Colour(255, 255, 255), 1.0);
    draw(&mut canvas);
    canvas.backend.present().expect(TEXT);
    drop(canvas);
    // Shown at its size in pixels; the view box stays in units.
    svg.replacen(
        &format!("width=\"{w}\" height=\"{h}\""),
        &format!("width=\"{width}\" height=\"{height}\""),
        1,
    )
}

/// Points in units, without those inside level stretches: much of a density is 0.
fn path(points: &[(f64, f64)]) -> Vec<(i32, i32)> {
    let mut path: Vec<(i32, i32)> = Vec::new();
    for &(x, y) in points {
        let point = units(x, y);
        if let [.., before, last] = &mut path[..]
            && before.1 == last.1
            && last.1 == point.1
            && (last.0 - before.0).signum() == (point.0 - last.0).signum()
        {
            *last = point;
        } else {
            path.push(point);
        }
    }
    path
}

fn units(x: f64, y: f64) -> (i32, i32) {
    ((x * UNITS).round() as i32, (y * UNITS).round() as i32)
}
