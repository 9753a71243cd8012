//! A picture of what an enhancer does: rows of clean, corrupted and enhanced images, each with the classifier's word
//! on it.

use dyntta_image::Rgb8;
use embedded_graphics::Drawable;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::{FONT_6X10, FONT_7X13_BOLD};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::text::{Alignment, Text};
use embedded_graphics::{Pixel, pixelcolor};

/// One image of the picture.
pub struct Tile {
    /// The image.
    pub image: Rgb8,
    /// What the classifier says it is.
    pub caption: String,
    /// Whether that is right: green or red.
    pub right: bool,
}

/// A row of the picture.
pub struct Row {
    /// What stands to its left.
    pub title: String,
    /// Its images, one a column.
    pub tiles: Vec<Tile>,
}

const LEFT: usize = 76;
const TOP: usize = 22;
const GAP: usize = 8;
const CAPTION: usize = 16;
const BLACK: Rgb888 = Rgb888::new(25, 25, 30);
const GREEN: Rgb888 = Rgb888::new(0, 125, 45);
const RED: Rgb888 = Rgb888::new(200, 25, 35);

/// Draws rows under column titles on white, every pixel enlarged `scale` times.
///
/// # Panics
/// If there is no tile, or the images differ in size.
pub fn draw(columns: &[String], rows: &[Row], scale: usize) -> Rgb8 {
    let first = &rows[0].tiles[0].image;
    let (tile_w, tile_h) = (first.width() * scale, first.height() * scale);
    let (cell_w, cell_h) = (tile_w + GAP, tile_h + CAPTION + GAP);
    let mut canvas = Canvas(
        Rgb8::new(
            LEFT + columns.len() * cell_w,
            TOP + rows.len() * cell_h,
            vec![255; (LEFT + columns.len() * cell_w) * (TOP + rows.len() * cell_h) * 3],
        )
        .expect("three bytes a pixel"),
    );
    let small = |color| MonoTextStyle::new(&FONT_6X10, color);
    let middle = |column: usize| (LEFT + column * cell_w + tile_w / 2) as i32;
    for (c, title) in columns.iter().enumerate() {
        canvas.text(title, Point::new(middle(c), 14), small(BLACK), Alignment::Center);
    }
    for (r, row) in rows.iter().enumerate() {
        let top = TOP + r * cell_h;
        let bold = MonoTextStyle::new(&FONT_7X13_BOLD, BLACK);
        canvas.text(
            &row.title,
            Point::new(LEFT as i32 - 8, (top + tile_h / 2) as i32),
            bold,
            Alignment::Right,
        );
        for (c, tile) in row.tiles.iter().enumerate() {
            assert_eq!((tile.image.width(), tile.image.height()), (first.width(), first.height()));
            canvas.image(&tile.image, LEFT + c * cell_w, top, scale);
            let color = if tile.right { GREEN } else { RED };
            let below = Point::new(middle(c), (top + tile_h + 11) as i32);
            canvas.text(&tile.caption, below, small(color), Alignment::Center);
        }
    }
    canvas.0
}

struct Canvas(Rgb8);

impl Canvas {
    fn text(&mut self, text: &str, at: Point, style: MonoTextStyle<'_, Rgb888>, alignment: Alignment) {
        let Ok(_) = Text::with_alignment(text, at, style, alignment).draw(self);
    }

    fn image(&mut self, image: &Rgb8, left: usize, top: usize, scale: usize) {
        for y in 0..image.height() * scale {
            for x in 0..image.width() * scale {
                let from = ((y / scale) * image.width() + x / scale) * 3;
                let to = ((top + y) * self.0.width() + left + x) * 3;
                self.0.data_mut()[to..to + 3].copy_from_slice(&image.data()[from..from + 3]);
            }
        }
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.0.width() as u32, self.0.height() as u32)
    }
}

impl DrawTarget for Canvas {
    type Color = pixelcolor::Rgb888;
    type Error = std::convert::Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Self::Color>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Self::Error> {
        for Pixel(Point { x, y }, color) in pixels {
            let (w, h) = (self.0.width() as i32, self.0.height() as i32);
            if (0..w).contains(&x) && (0..h).contains(&y) {
                let at = (y as usize * self.0.width() + x as usize) * 3;
                self.0.data_mut()[at..at + 3].copy_from_slice(&[color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_stand_where_they_belong_and_captions_are_coloured() {
        let tile = |level: u8, right| Tile {
            image: Rgb8::new(2, 2, vec![level; 12]).unwrap(),
            caption: "X".into(),
            right,
        };
        let rows = [Row { title: "a".into(), tiles: vec![tile(10, true), tile(20, false)] }];
        let picture = draw(&["one".into(), "two".into()], &rows, 10);
        let at = |x: usize, y: usize| &picture.data()[(y * picture.width() + x) * 3..][..3];
        assert_eq!(at(LEFT + 5, TOP + 5), [10, 10, 10]);
        assert_eq!(at(LEFT + 20 + GAP + 5, TOP + 5), [20, 20, 20]);
        let has =
            |color: Rgb888| picture.data().chunks_exact(3).any(|p| p == [color.r(), color.g(), color.b()]);
        assert!(has(GREEN) && has(RED) && has(BLACK));
    }
}
