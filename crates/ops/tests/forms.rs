//! The tensor forms of the bank, computed by the plainest implementation of [`Tensors`] there is, against the other paths.

use dyntta_image::Stream;
use dyntta_ops::tensors::{Axis, Over, Tensors};
use dyntta_ops::{Bank, Shape, Slot, View, blend, spectral};

/// A tensor of four axes, row-major.
#[derive(Clone, Debug)]
struct Tensor<V> {
    shape: [usize; 4],
    data: Vec<V>,
}

impl<V: Copy> Tensor<V> {
    fn new(shape: [usize; 4], data: Vec<V>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len());
        Self { shape, data }
    }

    fn filled(shape: [usize; 4], mut value: impl FnMut([usize; 4]) -> V) -> Self {
        let [a, b, c, d] = shape;
        let places = (0..a * b * c * d).map(|i| [i / (b * c * d), i / (c * d) % b, i / d % c, i % d]);
        Self { shape, data: places.map(&mut value).collect() }
    }

    /// The value at a place of what it broadcasts to.
    fn at(&self, place: [usize; 4]) -> V {
        let index = (0..4).fold(0, |i, axis| i * self.shape[axis] + place[axis].min(self.shape[axis] - 1));
        self.data[index]
    }

    fn map<U: Copy>(&self, f: impl Fn(V) -> U) -> Tensor<U> {
        Tensor::new(self.shape, self.data.iter().map(|&v| f(v)).collect())
    }

    fn zip<U: Copy, R: Copy>(&self, other: &Tensor<U>, f: impl Fn(V, U) -> R) -> Tensor<R> {
        Tensor::filled(broadcast(self.shape, other.shape), |p| f(self.at(p), other.at(p)))
    }

    fn reduce(&self, over: Over, f: impl Fn(V, V) -> V) -> Self {
        let mut shape = self.shape;
        let axes: &[usize] = match over {
            Over::Plane => &[2, 3],
            Over::Image => &[1, 2, 3],
            Over::Last => &[3],
        };
        for &axis in axes {
            shape[axis] = 1;
        }
        Self::filled(shape, |p| {
            let inside = |i: usize| {
                let [_, b, c, d] = self.shape;
                let place = [i / (b * c * d), i / (c * d) % b, i / d % c, i % d];
                (0..4).all(|axis| axes.contains(&axis) || place[axis] == p[axis])
            };
            let values = self.data.iter().enumerate().filter(|(i, _)| inside(*i)).map(|(_, v)| *v);
            values.reduce(&f).unwrap()
        })
    }
}

fn broadcast(a: [usize; 4], b: [usize; 4]) -> [usize; 4] {
    std::array::from_fn(|axis| match (a[axis], b[axis]) {
        (1, extent) | (extent, 1) => extent,
        (x, y) if x == y => x,
        _ => panic!("{a:?} and {b:?}"),
    })
}

/// Tensors that are computed at once.
struct Eager {
    n: usize,
    h: usize,
    w: usize,
}

impl Eager {
    fn along(&self, axis: Axis) -> usize {
        match axis {
            Axis::Height => self.h,
            Axis::Width => self.w,
        }
    }
}

impl Tensors for Eager {
    type Float = Tensor<f32>;
    type Int = Tensor<i64>;
    type Bool = Tensor<bool>;

    fn number(&self, value: f32) -> Tensor<f32> {
        Tensor::new([1; 4], vec![value])
    }

    fn numbers(&self, shape: [usize; 4], values: &[f32]) -> Tensor<f32> {
        Tensor::new(shape, values.to_vec())
    }

    fn integer(&self, value: i32) -> Tensor<i64> {
        Tensor::new([1; 4], vec![value.into()])
    }

    fn extent(&self, axis: Axis) -> Tensor<f32> {
        self.number(self.along(axis) as f32)
    }

    fn pixels(&self) -> Tensor<i64> {
        Tensor::new([1; 4], vec![(self.h * self.w) as i64])
    }

    fn places(&self, axis: Axis) -> Tensor<f32> {
        match axis {
            Axis::Height => Tensor::filled([1, 1, self.h, 1], |p| p[2] as f32),
            Axis::Width => Tensor::filled([1, 1, 1, self.w], |p| p[3] as f32),
        }
    }

    fn hartley(&self, axis: Axis) -> Tensor<f32> {
        let m = self.along(axis);
        Tensor::filled([1, 1, m, m], |p| {
            let angle = std::f64::consts::TAU * (p[2] * p[3] % m) as f64 / m as f64;
            ((angle.cos() + angle.sin()) / (m as f64).sqrt()) as f32
        })
    }

    fn by_ring(&self, values: &Tensor<f32>, radii: &[f64]) -> Tensor<f32> {
        assert_eq!(values.shape, [self.n, 1, 1, radii.len() + 1]);
        Tensor::filled([self.n, 1, self.h, self.w], |p| {
            let d = spectral::distance(p[2], p[3], self.h, self.w);
            values.at([p[0], 0, 0, radii.partition_point(|&r| r < d)])
        })
    }

    fn add(&self, a: &Tensor<f32>, b: &Tensor<f32>) -> Tensor<f32> {
        a.zip(b, |a, b| a + b)
    }

    fn sub(&self, a: &Tensor<f32>, b: &Tensor<f32>) -> Tensor<f32> {
        a.zip(b, |a, b| a - b)
    }

    fn mul(&self, a: &Tensor<f32>, b: &Tensor<f32>) -> Tensor<f32> {
        a.zip(b, |a, b| a * b)
    }

    fn div(&self, a: &Tensor<f32>, b: &Tensor<f32>) -> Tensor<f32> {
        a.zip(b, |a, b| a / b)
    }

    fn reciprocal(&self, x: &Tensor<f32>) -> Tensor<f32> {
        x.map(f32::recip)
    }

    fn min(&self, a: &Tensor<f32>, b: &Tensor<f32>) -> Tensor<f32> {
        a.zip(b, f32::min)
    }

    fn max(&self, a: &Tensor<f32>, b: &Tensor<f32>) -> Tensor<f32> {
        a.zip(b, f32::max)
    }

    fn clamp(&self, x: &Tensor<f32>, low: f32, high: f32) -> Tensor<f32> {
        x.map(|x| x.clamp(low, high))
    }

    fn floor(&self, x: &Tensor<f32>) -> Tensor<f32> {
        x.map(f32::floor)
    }

    fn exp(&self, x: &Tensor<f32>) -> Tensor<f32> {
        x.map(f32::exp)
    }

    fn ln(&self, x: &Tensor<f32>) -> Tensor<f32> {
        x.map(f32::ln)
    }

    fn sin(&self, x: &Tensor<f32>) -> Tensor<f32> {
        x.map(f32::sin)
    }

    fn cos(&self, x: &Tensor<f32>) -> Tensor<f32> {
        x.map(f32::cos)
    }

    fn tanh(&self, x: &Tensor<f32>) -> Tensor<f32> {
        x.map(f32::tanh)
    }

    fn sigmoid(&self, x: &Tensor<f32>) -> Tensor<f32> {
        x.map(|x| 1.0 / (1.0 + (-x).exp()))
    }

    fn less(&self, a: &Tensor<f32>, b: &Tensor<f32>) -> Tensor<bool> {
        a.zip(b, |a, b| a < b)
    }

    fn equal(&self, a: &Tensor<f32>, b: &Tensor<f32>) -> Tensor<bool> {
        a.zip(b, |a, b| a == b)
    }

    fn and(&self, a: &Tensor<bool>, b: &Tensor<bool>) -> Tensor<bool> {
        a.zip(b, |a, b| a && b)
    }

    fn choose(&self, condition: &Tensor<bool>, yes: &Tensor<f32>, no: &Tensor<f32>) -> Tensor<f32> {
        let both = yes.zip(no, |yes, no| (yes, no));
        condition.zip(&both, |condition, (yes, no)| if condition { yes } else { no })
    }

    fn least(&self, x: &Tensor<f32>, over: Over) -> Tensor<f32> {
        x.reduce(over, f32::min)
    }

    fn most(&self, x: &Tensor<f32>, over: Over) -> Tensor<f32> {
        x.reduce(over, f32::max)
    }

    fn matmul(&self, a: &Tensor<f32>, b: &Tensor<f32>) -> Tensor<f32> {
        assert_eq!(a.shape[3], b.shape[2]);
        let [n, c, ..] = broadcast([a.shape[0], a.shape[1], 1, 1], [b.shape[0], b.shape[1], 1, 1]);
        Tensor::filled([n, c, a.shape[2], b.shape[3]], |[n, c, y, x]| {
            let products =
                (0..a.shape[3]).map(|k| f64::from(a.at([n, c, y, k])) * f64::from(b.at([n, c, k, x])));
            products.sum::<f64>() as f32
        })
    }

    fn channels(&self, x: &Tensor<f32>) -> [Tensor<f32>; 3] {
        [0, 1, 2]
            .map(|c| Tensor::filled([x.shape[0], 1, x.shape[2], x.shape[3]], |p| x.at([p[0], c, p[2], p[3]])))
    }

    fn columns(&self, x: &Tensor<f32>, count: usize) -> Vec<Tensor<f32>> {
        assert_eq!(x.shape, [self.n, 1, 1, count]);
        (0..count).map(|k| Tensor::filled([self.n, 1, 1, 1], |p| x.at([p[0], 0, 0, k]))).collect()
    }

    fn convolve(&self, x: &Tensor<f32>, kernel: &[f32; 9]) -> Tensor<f32> {
        Tensor::filled(x.shape, |[n, c, y, x_]| {
            let mut sum = 0.0;
            for (i, weight) in kernel.iter().enumerate() {
                let (v, u) = ((y + i / 3).wrapping_sub(1), (x_ + i % 3).wrapping_sub(1));
                if v < self.h && u < self.w {
                    sum += weight * x.at([n, c, v, u]);
                }
            }
            sum
        })
    }

    fn sample(&self, x: &Tensor<f32>, u: &Tensor<f32>, v: &Tensor<f32>) -> Tensor<f32> {
        let places = u.zip(v, |u, v| (u, v));
        Tensor::filled([self.n, 3, self.h, self.w], |[n, c, row, column]| {
            let (u, v) = places.at([n, 0, row, column]);
            let u = f64::from(u) + (self.w - 1) as f64 / 2.0;
            let v = f64::from(v) + (self.h - 1) as f64 / 2.0;
            let value = |y: f64, x_: f64| {
                let inside = y >= 0.0 && x_ >= 0.0 && y < self.h as f64 && x_ < self.w as f64;
                if inside { f64::from(x.at([n, c, y as usize, x_ as usize])) } else { 0.0 }
            };
            let (x0, y0) = (u.floor(), v.floor());
            let (fx, fy) = (u - x0, v - y0);
            let top = (1.0 - fx) * value(y0, x0) + fx * value(y0, x0 + 1.0);
            let bottom = (1.0 - fx) * value(y0 + 1.0, x0) + fx * value(y0 + 1.0, x0 + 1.0);
            ((1.0 - fy) * top + fy * bottom) as f32
        })
    }

    fn int(&self, x: &Tensor<f32>) -> Tensor<i64> {
        x.map(|x| x as i64)
    }

    fn float(&self, x: &Tensor<i64>) -> Tensor<f32> {
        x.map(|x| x as f32)
    }

    fn int_add(&self, a: &Tensor<i64>, b: &Tensor<i64>) -> Tensor<i64> {
        a.zip(b, |a, b| a + b)
    }

    fn int_div(&self, a: &Tensor<i64>, b: &Tensor<i64>) -> Tensor<i64> {
        a.zip(b, |a, b| a / b)
    }

    fn int_min(&self, a: &Tensor<i64>, b: &Tensor<i64>) -> Tensor<i64> {
        a.zip(b, i64::min)
    }

    fn int_max(&self, a: &Tensor<i64>, b: &Tensor<i64>) -> Tensor<i64> {
        a.zip(b, i64::max)
    }

    fn int_less(&self, a: &Tensor<i64>, b: &Tensor<i64>) -> Tensor<bool> {
        a.zip(b, |a, b| a < b)
    }

    fn int_choose(&self, condition: &Tensor<bool>, yes: &Tensor<i64>, no: &Tensor<i64>) -> Tensor<i64> {
        let both = yes.zip(no, |yes, no| (yes, no));
        condition.zip(&both, |condition, (yes, no)| if condition { yes } else { no })
    }

    fn int_most(&self, x: &Tensor<i64>, over: Over) -> Tensor<i64> {
        x.reduce(over, i64::max)
    }

    fn histogram(&self, x: &Tensor<i64>) -> Tensor<i64> {
        Tensor::filled([self.n, 3, 1, 256], |[n, c, _, level]| {
            let plane = &x.data[(n * 3 + c) * self.h * self.w..][..self.h * self.w];
            plane.iter().filter(|&&value| value == level as i64).count() as i64
        })
    }

    fn before(&self, x: &Tensor<i64>) -> Tensor<i64> {
        Tensor::filled(x.shape, |[a, b, c, d]| (0..d).map(|k| x.at([a, b, c, k])).sum())
    }

    fn look_up(&self, table: &Tensor<f32>, index: &Tensor<i64>) -> Tensor<f32> {
        assert_eq!(table.shape[3], 256);
        Tensor::filled(index.shape, |p| table.at([p[0], p[1], 0, index.at(p) as usize]))
    }
}

/// A batch of images with smooth parts, noise, ties, black, white and a constant channel.
fn images(shape: Shape, label: &str) -> Vec<f32> {
    let mut stream = Stream::new(7, &["forms", label]);
    let mut x: Vec<f32> = (0..shape.batch()).map(|_| stream.uniform() as f32).collect();
    for (i, image) in x.chunks_exact_mut(shape.image()).enumerate() {
        match i % 3 {
            0 => image.iter_mut().for_each(|v| *v = (*v * 255.0).round() / 255.0),
            1 => image[shape.pixels()..2 * shape.pixels()].fill(0.5),
            _ => image.iter_mut().for_each(|v| *v = (*v * 4.0).round() / 4.0),
        }
    }
    x
}

/// The largest difference of the form of a bank from its fused blend.
fn apart(bank: &Bank, shape: Shape, raw: &[f32], weights: &[f32], label: &str) -> f32 {
    let Shape { n, h, w } = shape;
    let x = images(shape, label);
    let network: Option<Vec<f32>> = bank.network_slot().map(|_| x.iter().map(|v| 1.0 - v * v).collect());
    let mut expected = vec![0.0; x.len()];
    blend::forward(bank, shape, &x, raw, weights, network.as_deref(), &mut expected).unwrap();
    let t = Eager { n, h, w };
    let columns = |values: &[f32]| Tensor::new([n, 1, 1, bank.len()], values.to_vec());
    let image = |values: Vec<f32>| Tensor::new([n, 3, h, w], values);
    let factors = blend::factors(&t, bank, &columns(raw));
    let found = blend::form(&t, bank, &image(x), &factors, &columns(weights), network.map(image).as_ref());
    assert_eq!(found.shape, [n, 3, h, w]);
    found.data.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

const SHAPES: [Shape; 5] = [
    Shape { n: 1, h: 1, w: 1 },
    Shape { n: 3, h: 3, w: 9 },
    Shape { n: 2, h: 8, w: 8 },
    Shape { n: 3, h: 17, w: 31 },
    Shape { n: 1, h: 30, w: 21 },
];

#[test]
fn every_op_alone_means_the_same_on_tensors() {
    let mut names: Vec<String> = dyntta_ops::bank::known_names();
    names.retain(|name| {
        !name.contains("_pass_") || ["low_pass_0.50", "high_pass_0.15"].contains(&name.as_str())
    });
    assert!(names.len() > 12, "{names:?}");
    for name in &names {
        let bank = Bank::from_names(&[name]).unwrap();
        for shape in SHAPES {
            for scale in [0.0, 0.5, 4.0] {
                let mut stream = Stream::new(3, &["raw", name]);
                let raw: Vec<f32> = (0..shape.n).map(|_| (stream.normal() * scale) as f32).collect();
                let apart = apart(&bank, shape, &raw, &vec![1.0; shape.n], name);
                let exact =
                    ["auto_contrast", "equalize", "invert", "identity", "urie"].contains(&name.as_str());
                let most = if exact { 0.0 } else { 1e-5 };
                assert!(apart <= most, "{name} on {shape:?} at raw {raw:?}: {apart}");
            }
        }
    }
}

#[test]
fn the_whole_bank_means_the_same_on_tensors() {
    let mut names = dyntta_ops::bank::paper_names();
    names.extend(["identity".to_owned(), "low_pass_0.123".to_owned()]);
    for bank in [Bank::paper(), Bank::from_names(&names).unwrap()] {
        let k = bank.len();
        for shape in SHAPES {
            let mut stream = Stream::new(5, &["bank"]);
            let raw: Vec<f32> = (0..shape.n * k).map(|_| stream.normal() as f32).collect();
            let mut weights: Vec<f32> = (0..shape.n * k).map(|_| stream.uniform() as f32).collect();
            for row in weights.chunks_exact_mut(k) {
                let sum: f32 = row.iter().sum();
                row.iter_mut().for_each(|w| *w /= sum);
            }
            let apart = apart(&bank, shape, &raw, &weights, "bank");
            assert!(apart <= 5e-6, "{k} slots on {shape:?}: {apart}");
        }
    }
}

#[test]
fn the_plain_path_means_the_same_too() {
    let shape = Shape { n: 1, h: 12, w: 9 };
    let x = images(shape, "plain");
    let view = View::new(&x, shape.h, shape.w).unwrap();
    let t = Eager { n: 1, h: shape.h, w: shape.w };
    let bank = Bank::paper();
    for (k, op) in bank.slots().iter().filter_map(Slot::op).enumerate() {
        let (mut expected, raw) = (vec![0.0; x.len()], 0.7);
        op.forward(view, op.factor(raw), &mut expected);
        let alone = Bank::from_names(&[op.name()]).unwrap();
        let factors = blend::factors(&t, &alone, &t.number(raw));
        let found =
            blend::form(&t, &alone, &Tensor::new([1, 3, 12, 9], x.clone()), &factors, &t.number(1.0), None);
        for (found, expected) in found.data.iter().zip(&expected) {
            // Filters and tables may leave the range, and the blend clamps.
            let expected = expected.clamp(0.0, 1.0);
            assert!((found - expected).abs() < 1e-5, "slot {k}, {}: {found} {expected}", op.name());
        }
    }
}
