//! What the sweep over pixels knows of an image, and what an op has to say to take part in it.
//!
//! The sweep works on strips of a fixed number of pixels in loops that the compiler turns into vector instructions, for each
//! instruction set; see [`dyntta_simd`]. All of them give the same bits.

use dyntta_simd::{Kernel, dispatch};

use crate::ops::equalize;
use crate::{View, hsv};

/// Pixels that are worked on together: four vectors of AVX-512.
pub(crate) const STRIP: usize = 64;

/// One value for each pixel of a strip.
pub(crate) type Strip = [f32; STRIP];

/// What an op asks for; what no op of a bank asks for is not computed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Needs {
    /// [`Seen::extremes`].
    pub extremes: bool,
    /// [`Seen::histograms`].
    pub histograms: bool,
    /// [`Strips::levels`], backward.
    pub levels: bool,
    /// [`Strips::xs`], [`Strips::ys`] and [`Strips::inner`].
    pub places: bool,
    /// [`Strips::hsv`].
    pub hsv: bool,
}

impl Needs {
    /// Nothing but the pixels.
    pub const NOTHING: Self =
        Self { extremes: false, histograms: false, levels: false, places: false, hsv: false };

    /// What either asks for.
    pub fn and(self, other: Self) -> Self {
        Self {
            extremes: self.extremes | other.extremes,
            histograms: self.histograms | other.histograms,
            levels: self.levels | other.levels,
            places: self.places | other.places,
            hsv: self.hsv | other.hsv,
        }
    }
}

/// What is known of an image before the sweep.
pub(crate) struct Seen<'a> {
    /// The three channels.
    pub planes: [&'a [f32]; 3],
    /// Height in pixels.
    pub h: usize,
    /// Width in pixels.
    pub w: usize,
    /// Smallest and largest value of each channel.
    pub extremes: [(f32, f32); 3],
    /// The histogram of each channel, in the bins of `equalize`.
    pub histograms: [Option<[u32; 256]>; 3],
}

impl<'a> Seen<'a> {
    /// Looks at an image; with `spread`, at its channels in parallel.
    pub fn new(view: View<'a>, needs: Needs, spread: bool) -> Self {
        let planes = [0, 1, 2].map(|c| view.plane(c));
        let channel = |c: usize| {
            let extremes = if needs.extremes { dispatch(Extremes(planes[c])) } else { (0.0, 0.0) };
            (extremes, needs.histograms.then(|| dispatch(Histogram(planes[c]))))
        };
        let channels = if spread {
            let (r, (g, b)) = rayon::join(|| channel(0), || rayon::join(|| channel(1), || channel(2)));
            [r, g, b]
        } else {
            [channel(0), channel(1), channel(2)]
        };
        let (extremes, histograms) = (channels.map(|c| c.0), channels.map(|c| c.1));
        Self { planes, h: view.height(), w: view.width(), extremes, histograms }
    }

    /// The largest value of the image.
    pub fn largest(&self) -> f32 {
        self.extremes.iter().fold(f32::NEG_INFINITY, |a, &(_, b)| a.max(b))
    }
}

/// Smallest and largest value of a plane.
struct Extremes<'a>(&'a [f32]);

impl Kernel for Extremes<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run(self) -> (f32, f32) {
        let (mut min, mut max) = ([f32::INFINITY; STRIP], [f32::NEG_INFINITY; STRIP]);
        let strips = self.0.chunks_exact(STRIP);
        let rest = strips.remainder();
        for x in strips {
            for i in 0..STRIP {
                min[i] = if x[i] < min[i] { x[i] } else { min[i] };
                max[i] = if x[i] > max[i] { x[i] } else { max[i] };
            }
        }
        let min = min.iter().chain(rest).fold(f32::INFINITY, |a, &b| a.min(b));
        let max = max.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        (min, max)
    }
}

/// The histogram of `equalize`.
struct Histogram<'a>(&'a [f32]);

impl Kernel for Histogram<'_> {
    type Output = [u32; 256];

    #[inline(always)]
    fn run(self) -> [u32; 256] {
        // Four, so that runs of equal values do not wait for each other.
        let mut parts = [[0u32; 256]; 4];
        let strips = self.0.chunks_exact(STRIP);
        for &x in strips.remainder() {
            parts[0][equalize::bin(x)] += 1;
        }
        for strip in strips {
            let mut bins = [0u8; STRIP];
            for i in 0..STRIP {
                bins[i] = equalize::bin(strip[i]) as u8;
            }
            for i in 0..STRIP {
                parts[i % 4][bins[i] as usize] += 1;
            }
        }
        let mut sum = [0; 256];
        for part in parts {
            for j in 0..256 {
                sum[j] += part[j];
            }
        }
        sum
    }
}

/// A strip of pixels with all that several ops ask for.
pub(crate) struct Strips<'a> {
    /// What is known of the whole image.
    pub seen: &'a Seen<'a>,
    /// The first pixel's number.
    pub start: usize,
    /// How many pixels there are; behind them everything is of zeros.
    pub n: usize,
    /// The three channels.
    pub x: [Strip; 3],
    /// Each pixel's column.
    pub xs: [i32; STRIP],
    /// Each pixel's row.
    pub ys: [i32; STRIP],
    /// 1 where all eight neighbours exist, 0 on the border.
    pub inner: Strip,
    /// Hue, saturation and value, where asked for and not before [`Strips::see_colours`].
    pub hsv: Option<hsv::Strips>,
    /// The levels of the channel at hand, where asked for and after [`Strips::see_levels`].
    pub levels: Option<[i32; STRIP]>,
}

/// `n` values of a plane from `start` on, then zeros.
#[inline(always)]
pub(crate) fn load(plane: &[f32], start: usize, n: usize) -> Strip {
    let mut strip = [0.0; STRIP];
    if n == STRIP {
        strip.copy_from_slice(&plane[start..start + STRIP]);
    } else {
        strip[..n].copy_from_slice(&plane[start..start + n]);
    }
    strip
}

impl<'a> Strips<'a> {
    /// The `n` pixels from `start` on.
    #[inline(always)]
    pub fn new(seen: &'a Seen<'a>, needs: Needs, start: usize, n: usize) -> Self {
        let (h, w) = (seen.h, seen.w);
        let x = seen.planes.map(|plane| load(plane, start, n));
        let (mut xs, mut ys) = ([0; STRIP], [0; STRIP]);
        if needs.places {
            let (mut y, mut x) = ((start / w) as i32, (start % w) as i32);
            for i in 0..STRIP {
                xs[i] = x;
                ys[i] = y;
                x += 1;
                if x == w as i32 {
                    x = 0;
                    y += 1;
                }
            }
        }
        let mut inner = [0.0; STRIP];
        let (right, bottom) = (w as i32 - 1, h as i32 - 1);
        for i in 0..STRIP {
            let inside = (xs[i] > 0) & (xs[i] < right) & (ys[i] > 0) & (ys[i] < bottom);
            inner[i] = if inside { 1.0 } else { 0.0 };
        }
        Self { seen, start, n, x, xs, ys, inner, hsv: None, levels: None }
    }

    /// Fills [`Strips::hsv`], if it is asked for.
    #[inline(always)]
    pub fn see_colours(&mut self, needs: Needs) {
        if needs.hsv {
            self.hsv = Some(hsv::Strips::new(&self.x));
        }
    }

    /// Fills [`Strips::levels`] with those of channel `c`, if they are asked for.
    #[inline(always)]
    pub fn see_levels(&mut self, needs: Needs, c: usize) {
        if needs.levels {
            self.levels = Some(levels(&self.x[c]));
        }
    }
}

/// The level of a value: `floor(255 x)`, kept within a table of 256.
#[inline(always)]
pub(crate) fn level(x: f32) -> usize {
    dyntta_simd::math::whole(255.0 * x, 255) as usize
}

/// The levels of a strip of values.
#[inline(always)]
pub(crate) fn levels(x: &Strip) -> [i32; STRIP] {
    let mut levels = [0; STRIP];
    for i in 0..STRIP {
        levels[i] = level(x[i]) as i32;
    }
    levels
}

/// Ops that add up before the sweep: one table and one linear function for each channel.
pub(crate) struct Shares {
    /// By level; without tables there is none.
    pub table: Option<[[f32; 256]; 3]>,
    /// What the value is multiplied with.
    pub linear: [f32; 3],
    /// What is added.
    pub constant: f32,
}

impl Shares {
    /// Nothing yet.
    pub const NONE: Self = Self { table: None, linear: [0.0; 3], constant: 0.0 };

    /// The table to add to.
    pub fn table(&mut self) -> &mut [[f32; 256]; 3] {
        self.table.get_or_insert([[0.0; 256]; 3])
    }

    /// Adds what all the ops make of channel `c`.
    #[inline(always)]
    pub fn forward(&self, x: &Strip, c: usize, acc: &mut Strip) {
        for i in 0..STRIP {
            acc[i] += self.linear[c] * x[i] + self.constant;
        }
        if let Some(table) = &self.table {
            let levels = levels(x);
            for i in 0..STRIP {
                acc[i] += table[c][(levels[i] & 255) as usize];
            }
        }
    }
}

/// An op of the sweep. What runs in the sweep is `#[inline(always)]`.
pub(crate) trait Swept {
    /// What it asks for.
    const NEEDS: Needs;

    /// What it makes of an image and a factor before the sweep.
    type Prepared: Sync;

    /// Makes that.
    fn prepare(seen: &Seen<'_>, factor: f32) -> Self::Prepared;
}

/// An op that is a table or linear in the pixel.
pub(crate) trait Folded: Swept {
    /// Adds its weighted share to those of the others.
    fn fold(own: &Self::Prepared, weight: f32, shares: &mut Shares);

    /// Adds to `value` g times what it makes of channel `c`.
    fn add_gradients(own: &Self::Prepared, strips: &Strips<'_>, c: usize, g: &Strip, value: &mut Strip);
}

/// An op that works on one channel at a time.
pub(crate) trait PerPlane: Swept {
    /// Adds `weight` times what it makes of channel `c`.
    fn add(own: &Self::Prepared, strips: &Strips<'_>, c: usize, weight: f32, acc: &mut Strip);

    /// Adds to `value` g times what it makes of channel `c`, and to `slope` g times its slope by the factor.
    fn add_gradients(
        own: &Self::Prepared,
        strips: &Strips<'_>,
        c: usize,
        g: &Strip,
        value: &mut Strip,
        slope: &mut Strip,
    );
}

/// An op that works on the three channels together.
pub(crate) trait PerPixel: Swept {
    /// Adds `weight` times what it makes of the pixels.
    fn add(own: &Self::Prepared, strips: &Strips<'_>, weight: f32, acc: &mut [Strip; 3]);

    /// Adds to `value` g times what it makes of the pixels, and to `slope` g times its slope by the factor, both summed over
    /// the channels.
    fn add_gradients(
        own: &Self::Prepared,
        strips: &Strips<'_>,
        g: &[Strip; 3],
        value: &mut Strip,
        slope: &mut Strip,
    );
}
