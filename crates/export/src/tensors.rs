//! The bank's operations ([`Tensors`]) as nodes of a graph.

use dyntta_onnx::data_type;
use dyntta_ops::tensors::{Axis, Over, Tensors};

use crate::array::{Array, Data};
use crate::graph::{Graph, Setting, Value};

/// A batch of images in a graph: its size as whole numbers, known where it is fixed.
pub(crate) struct Images<'g> {
    pub g: &'g Graph,
    pub n: Value,
    pub h: Value,
    pub w: Value,
}

fn axes(over: Over) -> &'static [i64] {
    match over {
        Over::Plane => &[2, 3],
        Over::Image => &[1, 2, 3],
        Over::Last => &[3],
    }
}

impl Images<'_> {
    fn along(&self, axis: Axis) -> &Value {
        match axis {
            Axis::Height => &self.h,
            Axis::Width => &self.w,
        }
    }

    fn double(&self, x: &Value) -> Value {
        self.g.cast(x, data_type::DOUBLE)
    }

    /// `min(k, m - k)` for k from 0 up to m.
    fn folded(&self, m: &Value) -> Value {
        let k = self.g.range(m);
        self.g.min(&k, &self.g.sub(m, &k))
    }

    /// The ring of each frequency, `[h, w]`: how many radii lie below its distance. In double precision, since it matters where a
    /// frequency lies exactly on a radius.
    fn rings(&self, radii: &[f64]) -> Value {
        let g = self.g;
        let (two, one) = (g.int(2), g.int(1));
        let half = [&self.h, &self.w].map(|m| g.div(m, &two));
        let square = |x: &Value| g.mul(x, x);
        let [y, x] = half.each_ref().map(|m| square(&g.range(&g.add(m, &one))));
        let squares = g.add(&g.unsqueeze(&y, &[1]), &g.unsqueeze(&x, &[0]));
        let root = |x: &Value| g.op("Sqrt", &[&self.double(x)], &[]);
        let largest = root(&g.add(&square(&half[0]), &square(&half[1])));
        // An image of one pixel has the one frequency 0.
        let largest = g.max(&largest, &g.double(1e-30));
        let d = g.unsqueeze(&g.div(&root(&squares), &largest), &[0]);
        let radii = Array::new(vec![radii.len(), 1, 1], Data::F64(radii.to_vec()));
        let over = g.cast(&g.less(&g.constant(radii), &d), data_type::INT32);
        let quarter = g.reduce("ReduceSum", &over, &[0], false);
        g.gather(&g.gather(&quarter, &self.folded(&self.h), 0), &self.folded(&self.w), 1)
    }
}

impl Tensors for Images<'_> {
    type Float = Value;
    type Int = Value;
    type Bool = Value;

    fn number(&self, value: f32) -> Value {
        self.g.number(value)
    }

    fn numbers(&self, shape: [usize; 4], values: &[f32]) -> Value {
        self.g.constant(Array::f32(&shape, values.to_vec()))
    }

    fn integer(&self, value: i32) -> Value {
        self.g.int(value.into())
    }

    fn extent(&self, axis: Axis) -> Value {
        self.g.float(self.along(axis))
    }

    fn pixels(&self) -> Value {
        self.g.mul(&self.h, &self.w)
    }

    fn places(&self, axis: Axis) -> Value {
        let places = self.g.float(&self.g.range(self.along(axis)));
        match axis {
            Axis::Height => self.g.unsqueeze(&places, &[0, 1, 3]),
            Axis::Width => self.g.unsqueeze(&places, &[0, 1, 2]),
        }
    }

    /// By a table of the m values there are: `k x` modulo m is exact in whole numbers.
    fn hartley(&self, axis: Axis) -> Value {
        let (g, m) = (self.g, self.along(axis));
        let (k, count) = (g.range(m), self.double(m));
        let angle = g.mul(&self.double(&k), &g.div(&g.double(std::f64::consts::TAU), &count));
        let cas = g.add(&g.op("Cos", &[&angle], &[]), &g.op("Sin", &[&angle], &[]));
        let table = g.float(&g.div(&cas, &g.op("Sqrt", &[&count], &[])));
        let products = g.mul(&g.unsqueeze(&k, &[1]), &g.unsqueeze(&k, &[0]));
        g.gather(&table, &g.op("Mod", &[&products, m], &[]), 0)
    }

    fn by_ring(&self, values: &Value, radii: &[f64]) -> Value {
        let values = self.g.op("Squeeze", &[values, &self.g.list(&[2])], &[]);
        self.g.gather(&values, &self.rings(radii), 2)
    }

    fn add(&self, a: &Value, b: &Value) -> Value {
        self.g.add(a, b)
    }

    fn sub(&self, a: &Value, b: &Value) -> Value {
        self.g.sub(a, b)
    }

    fn mul(&self, a: &Value, b: &Value) -> Value {
        self.g.mul(a, b)
    }

    fn div(&self, a: &Value, b: &Value) -> Value {
        self.g.div(a, b)
    }

    /// Not as a quotient: ONNX Runtime makes `y / x` of `(1 / x) y`, which rounds otherwise, and colours of bytes often come to
    /// lie exactly between two levels.
    fn reciprocal(&self, x: &Value) -> Value {
        self.g.op("Reciprocal", &[x], &[])
    }

    fn min(&self, a: &Value, b: &Value) -> Value {
        self.g.min(a, b)
    }

    fn max(&self, a: &Value, b: &Value) -> Value {
        self.g.max(a, b)
    }

    fn clamp(&self, x: &Value, low: f32, high: f32) -> Value {
        self.g.clip(x, low, high)
    }

    fn floor(&self, x: &Value) -> Value {
        self.g.floor(x)
    }

    fn exp(&self, x: &Value) -> Value {
        self.g.op("Exp", &[x], &[])
    }

    fn ln(&self, x: &Value) -> Value {
        self.g.op("Log", &[x], &[])
    }

    fn sin(&self, x: &Value) -> Value {
        self.g.op("Sin", &[x], &[])
    }

    fn cos(&self, x: &Value) -> Value {
        self.g.op("Cos", &[x], &[])
    }

    fn tanh(&self, x: &Value) -> Value {
        self.g.op("Tanh", &[x], &[])
    }

    fn sigmoid(&self, x: &Value) -> Value {
        self.g.op("Sigmoid", &[x], &[])
    }

    fn less(&self, a: &Value, b: &Value) -> Value {
        self.g.less(a, b)
    }

    fn equal(&self, a: &Value, b: &Value) -> Value {
        self.g.op("Equal", &[a, b], &[])
    }

    fn and(&self, a: &Value, b: &Value) -> Value {
        self.g.and(a, b)
    }

    fn choose(&self, condition: &Value, yes: &Value, no: &Value) -> Value {
        self.g.choose(condition, yes, no)
    }

    fn least(&self, x: &Value, over: Over) -> Value {
        self.g.reduce("ReduceMin", x, axes(over), true)
    }

    fn most(&self, x: &Value, over: Over) -> Value {
        self.g.reduce("ReduceMax", x, axes(over), true)
    }

    fn matmul(&self, a: &Value, b: &Value) -> Value {
        self.g.matmul(a, b)
    }

    fn channels(&self, x: &Value) -> [Value; 3] {
        let mut parts = self.g.split(x, &[1, 1, 1], 1).into_iter();
        [0, 1, 2].map(|_| parts.next().expect("three parts"))
    }

    fn columns(&self, x: &Value, count: usize) -> Vec<Value> {
        self.g.split(x, &vec![1; count], 3)
    }

    fn convolve(&self, x: &Value, kernel: &[f32; 9]) -> Value {
        let kernel = self.g.constant(Array::f32(&[3, 1, 3, 3], kernel.repeat(3)));
        self.g.conv(&[x, &kernel], [3, 1, 1], 3)
    }

    /// By `GridSample`. Its coordinates go from -1 to 1 over the image, not over the centres of its pixels, since an axis of one
    /// pixel has no extent between those; from the centre that is `2 u / w`.
    fn sample(&self, x: &Value, u: &Value, v: &Value) -> Value {
        let (g, two) = (self.g, self.g.number(2.0));
        let shape = g.vector(&[&self.n, &g.int(1), &self.h, &self.w]);
        let last = g.vector(&[&self.n, &self.h, &self.w, &g.int(1)]);
        let coordinate = |place: &Value, axis: Axis| {
            let scaled = g.div(&g.mul(place, &two), &self.extent(axis));
            g.reshape(&g.expand(&scaled, &shape), &last)
        };
        let grid = g.concat(&[&coordinate(u, Axis::Width), &coordinate(v, Axis::Height)], 3);
        let mode = if g.opset >= 20 { "linear" } else { "bilinear" };
        let settings = [
            ("mode", Setting::Text(mode)),
            ("padding_mode", Setting::Text("zeros")),
            ("align_corners", Setting::Int(0)),
        ];
        g.op("GridSample", &[x, &grid], &settings)
    }

    fn int(&self, x: &Value) -> Value {
        self.g.whole(x)
    }

    fn float(&self, x: &Value) -> Value {
        self.g.float(x)
    }

    fn int_add(&self, a: &Value, b: &Value) -> Value {
        self.g.add(a, b)
    }

    /// By a quotient of floats, mended where that has rounded to the next whole number (beyond 2^24): OpenVINO (2026.4) doesn't
    /// round the quotient of whole numbers down where it fuses it with what follows.
    fn int_div(&self, a: &Value, b: &Value) -> Value {
        let (g, one) = (self.g, self.g.int(1));
        let near = g.whole(&g.floor(&g.div(&g.float(a), &g.float(b))));
        let rest = g.sub(a, &g.mul(&near, b));
        let high = g.less(&rest, &g.int(0));
        let enough = g.less(&rest, b);
        let near = g.choose(&enough, &near, &g.add(&near, &one));
        g.choose(&high, &g.sub(&near, &one), &near)
    }

    fn int_min(&self, a: &Value, b: &Value) -> Value {
        self.g.min(a, b)
    }

    fn int_max(&self, a: &Value, b: &Value) -> Value {
        self.g.max(a, b)
    }

    fn int_less(&self, a: &Value, b: &Value) -> Value {
        self.g.less(a, b)
    }

    fn int_choose(&self, condition: &Value, yes: &Value, no: &Value) -> Value {
        self.g.choose(condition, yes, no)
    }

    fn int_most(&self, x: &Value, over: Over) -> Value {
        self.g.reduce("ReduceMax", x, axes(over), true)
    }

    fn histogram(&self, x: &Value) -> Value {
        let g = self.g;
        let flat = g.reshape(x, &g.list(&[0, 0, -1]));
        let [zero, one] = [0, 1].map(|i| g.constant(Array::new(vec![], Data::I32(vec![i]))));
        let none = g.expand(&zero, &g.vector(&[&self.n, &g.int(3), &g.int(256)]));
        let each = g.expand(&one, &g.op("Shape", &[&flat], &[]));
        let settings = [("axis", Setting::Int(2)), ("reduction", Setting::Text("add"))];
        let counts = g.op("ScatterElements", &[&none, &flat, &each], &settings);
        g.unsqueeze(&g.whole(&counts), &[2])
    }

    fn before(&self, x: &Value) -> Value {
        self.g.op("CumSum", &[x, &self.g.int(3)], &[("exclusive", Setting::Int(1))])
    }

    fn look_up(&self, table: &Value, index: &Value) -> Value {
        let g = self.g;
        let table = g.op("Squeeze", &[table, &g.list(&[2])], &[]);
        let flat = g.reshape(index, &g.list(&[0, 0, -1]));
        let found = g.op("GatherElements", &[&table, &flat], &[("axis", Setting::Int(2))]);
        g.reshape(&found, &g.vector(&[&self.n, &g.int(3), &self.h, &self.w]))
    }
}
