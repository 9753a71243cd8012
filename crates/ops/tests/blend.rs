//! The fused blend against the plain one, and its independence of batch and threads.

use dyntta_image::Stream;
use dyntta_ops::{Bank, Gradients, Shape, View, bank, blend};

struct Case {
    shape: Shape,
    image: Vec<f32>,
    raw: Vec<f32>,
    weights: Vec<f32>,
    network: Option<Vec<f32>>,
    g: Vec<f32>,
}

/// What a blend gives.
#[derive(PartialEq)]
struct Result {
    out: Vec<f32>,
    raw: Vec<f32>,
    weights: Vec<f32>,
    network: Vec<f32>,
    image: Vec<f32>,
}

impl Case {
    fn new(bank: &Bank, shape: Shape, stream: &mut Stream) -> Self {
        let k = bank.len();
        let batch = shape.batch();
        // Noise, or a coarse pattern with many ties and exact ends.
        let levels = [0.0, 3.0, 255.0][stream.below(3)];
        let image = (0..batch)
            .map(|_| {
                let x = stream.uniform_f32();
                if levels > 0.0 { (x * levels).round() / levels } else { x }
            })
            .collect();
        let raw = (0..shape.n * k).map(|_| 1.5 * stream.normal_f32()).collect();
        let mut weights: Vec<f32> = (0..shape.n * k).map(|_| (1.5 * stream.normal_f32()).exp()).collect();
        for row in weights.chunks_exact_mut(k) {
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|w| *w /= sum);
        }
        let network =
            bank.network_slot().map(|_| (0..batch).map(|_| 1.4 * stream.uniform_f32() - 0.2).collect());
        let g = (0..batch).map(|_| stream.normal_f32()).collect();
        Self { shape, image, raw, weights, network, g }
    }

    fn run(&self, bank: &Bank, plain: bool, with_image: bool) -> Result {
        self.run_from(bank, plain, with_image, None)
    }

    /// Forward, then backward from `blended` instead of what forward gave.
    fn run_from(&self, bank: &Bank, plain: bool, with_image: bool, blended: Option<&[f32]>) -> Result {
        let Self { shape, image, raw, weights, network, g } = self;
        let (shape, network) = (*shape, network.as_deref());
        let columns = shape.n * bank.len();
        let fresh = |n: usize| vec![f32::NAN; n];
        let mut result = Result {
            out: fresh(shape.batch()),
            raw: fresh(columns),
            weights: fresh(columns),
            network: fresh(if network.is_some() { shape.batch() } else { 0 }),
            image: fresh(if with_image { shape.batch() } else { 0 }),
        };
        let forward = if plain { blend::reference::forward } else { blend::forward };
        let backward = if plain { blend::reference::backward } else { blend::backward };
        forward(bank, shape, image, raw, weights, network, &mut result.out).unwrap();
        let grads = Gradients {
            raw: &mut result.raw,
            weights: &mut result.weights,
            network: network.map(|_| &mut result.network[..]),
            image: with_image.then_some(&mut result.image[..]),
        };
        let blended = blended.unwrap_or(&result.out);
        backward(bank, shape, image, raw, weights, network, blended, g, grads).unwrap();
        result
    }

    /// Image `i` as a batch of one.
    fn single(&self, i: usize, k: usize) -> Self {
        let size = self.shape.image();
        let part = |data: &[f32], size: usize| data[i * size..(i + 1) * size].to_vec();
        Self {
            shape: Shape { n: 1, ..self.shape },
            image: part(&self.image, size),
            raw: part(&self.raw, k),
            weights: part(&self.weights, k),
            network: self.network.as_ref().map(|network| part(network, size)),
            g: part(&self.g, size),
        }
    }
}

const SIZES: [(usize, usize); 16] = [
    (1, 1),
    (1, 2),
    (2, 1),
    (1, 17),
    (13, 1),
    (2, 2),
    (3, 3),
    (5, 4),
    (7, 11),
    (8, 64),
    (31, 29),
    (32, 32),
    (33, 48),
    (64, 65),
    (67, 61),
    (130, 127),
];

#[track_caller]
fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what}[{i}]: {a} instead of {b}, limit {tolerance}");
    }
}

fn agree(bank: &Bank, shape: Shape, stream: &mut Stream, what: &str) {
    let case = Case::new(bank, shape, stream);
    let plain = case.run(bank, true, true);
    // Both backward from the same blend: where its clamp just passes or just stops, rounding decides.
    let fast = case.run_from(bank, false, true, Some(&plain.out));
    close(&format!("{what} out"), &fast.out, &plain.out, 1e-5);
    let size: f32 = case.g.iter().map(|g| g.abs()).sum::<f32>() / shape.n as f32;
    close(&format!("{what} network"), &fast.network, &plain.network, 1e-5);
    close(&format!("{what} weights"), &fast.weights, &plain.weights, 5e-7 * size + 1e-6);
    let k = bank.len();
    for i in 0..shape.n {
        for j in 0..k {
            let (a, b) = (fast.raw[i * k + j], plain.raw[i * k + j]);
            // A sum over the image of terms as large as g times the steepest slope.
            let limit =
                1e-4 * b.abs() + 1e-6 + 1e-6 * size * if j < 2 { shape.h.max(shape.w) as f32 } else { 1.0 };
            assert!((a - b).abs() <= limit, "{what} raw of {}: {a} instead of {b}", bank.slots()[j].name());
        }
    }
    close(&format!("{what} image"), &fast.image, &plain.image, 1e-4);
}

#[test]
fn the_fused_blend_is_the_plain_blend() {
    let bank = Bank::paper();
    let mut stream = Stream::new(7, &["blend"]);
    for (h, w) in SIZES {
        let n = if h * w > 5000 { 1 } else { 2 };
        agree(&bank, Shape { n, h, w }, &mut stream, &format!("{h} x {w}"));
    }
}

#[test]
fn so_it_is_for_each_op_alone_and_for_random_banks() {
    let mut stream = Stream::new(8, &["banks"]);
    let known = bank::known_names();
    for name in &known {
        for _ in 0..4 {
            let (h, w) = SIZES[stream.below(SIZES.len() - 1)];
            let bank = Bank::from_names(&[name]).unwrap();
            agree(&bank, Shape { n: 2, h, w }, &mut stream, &format!("{name} {h} x {w}"));
        }
    }
    for _ in 0..30 {
        let mut names = known.clone();
        stream.shuffle(&mut names);
        names.truncate(1 + stream.below(12));
        let (h, w) = (1 + stream.below(40), 1 + stream.below(40));
        let bank = Bank::from_names(&names).unwrap();
        agree(&bank, Shape { n: 1 + stream.below(3), h, w }, &mut stream, &format!("{names:?} {h} x {w}"));
    }
}

#[test]
fn an_image_does_not_depend_on_its_neighbours() {
    let bank = Bank::paper();
    let mut stream = Stream::new(9, &["neighbours"]);
    for (h, w) in [(9, 14), (130, 128)] {
        let case = Case::new(&bank, Shape { n: 3, h, w }, &mut stream);
        let all = case.run(&bank, false, true);
        let k = bank.len();
        for i in 0..3 {
            let one = case.single(i, k).run(&bank, false, true);
            let size = case.shape.image();
            assert!(one.out == all.out[i * size..(i + 1) * size]);
            assert!(one.image == all.image[i * size..(i + 1) * size]);
            assert!(one.network == all.network[i * size..(i + 1) * size]);
            assert!(one.raw == all.raw[i * k..(i + 1) * k]);
            assert!(one.weights == all.weights[i * k..(i + 1) * k]);
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let bank = Bank::paper();
    let mut stream = Stream::new(10, &["threads"]);
    for (n, h, w) in [(5, 32, 32), (2, 150, 131)] {
        let case = Case::new(&bank, Shape { n, h, w }, &mut stream);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| case.run(&bank, false, true))
        };
        let one = on(1);
        for threads in [2, 3, 8] {
            assert!(on(threads) == one, "{threads} threads");
        }
    }
}

#[test]
fn what_is_not_asked_for_changes_nothing_else() {
    let bank = Bank::paper();
    let mut stream = Stream::new(11, &["asked"]);
    let case = Case::new(&bank, Shape { n: 2, h: 12, w: 15 }, &mut stream);
    let (with, without) = (case.run(&bank, false, true), case.run(&bank, false, false));
    assert!(with.out == without.out && with.raw == without.raw);
    assert!(with.weights == without.weights && with.network == without.network);
}

#[test]
fn a_stopped_clamp_passes_nothing() {
    let bank = Bank::from_names(&["brightness", "urie"]).unwrap();
    let shape = Shape { n: 1, h: 1, w: 2 };
    let image = [0.9, 0.2, 0.9, 0.2, 0.9, 0.2];
    let network = [1.0; 6];
    let (raw, weights) = ([9.0, 0.0], [0.5, 0.5]);
    let mut out = [0.0; 6];
    blend::forward(&bank, shape, &image, &raw, &weights, Some(&network), &mut out).unwrap();
    assert_eq!(out[0], 1.0);
    let (mut by_raw, mut by_weights, mut by_network) = ([9.0; 2], [9.0; 2], [9.0; 6]);
    let grads =
        Gradients { raw: &mut by_raw, weights: &mut by_weights, network: Some(&mut by_network), image: None };
    blend::backward(&bank, shape, &image, &raw, &weights, Some(&network), &out, &[1.0; 6], grads).unwrap();
    assert_eq!(by_network, [0.0, 0.5, 0.0, 0.5, 0.0, 0.5]);
    assert_eq!(by_weights[1], 3.0);
    assert_eq!(by_raw[1], 0.0);
}

#[test]
fn wrong_buffers_are_errors() {
    let bank = Bank::paper();
    let shape = Shape { n: 2, h: 3, w: 4 };
    let (image, columns) = (vec![0.5; shape.batch()], vec![0.0; 2 * bank.len()]);
    let mut out = vec![0.0; shape.batch()];
    let mut forward = |image: &[f32], raw: &[f32], weights: &[f32], network: Option<&[f32]>| {
        blend::forward(&bank, shape, image, raw, weights, network, &mut out).unwrap_err().to_string()
    };
    let error = forward(&image[1..], &columns, &columns, Some(&image));
    assert!(error.contains("`image` has 71 values, expected 72"), "{error}");
    assert!(forward(&image, &columns[..9], &columns, Some(&image)).contains("`raw`"));
    assert!(forward(&image, &columns, &[], Some(&image)).contains("`weights`"));
    assert!(forward(&image, &columns, &columns, Some(&[])).contains("`network`"));
    assert!(forward(&image, &columns, &columns, None).contains("network slot at position 49"));
    let without = Bank::from_names(&["hue"]).unwrap();
    let error = blend::forward(&without, shape, &image, &[0.0; 2], &[1.0; 2], Some(&image), &mut out);
    assert!(error.unwrap_err().to_string().contains("no network slot"));
    let empty = Shape { n: 1, h: 0, w: 4 };
    let error = blend::forward(&without, empty, &[], &[0.0], &[1.0], None, &mut []).unwrap_err();
    assert!(error.to_string().contains("0 x 4"));
    let none = Shape { n: 0, h: 3, w: 4 };
    assert!(blend::forward(&without, none, &[], &[], &[], None, &mut []).is_ok());
}

#[test]
fn one_op_alone_is_the_blend_with_all_weight_on_it() {
    let bank = Bank::from_names(&bank::known_names()).unwrap();
    let mut stream = Stream::new(8, &["alone"]);
    for (h, w) in [(1, 1), (3, 50), (24, 31), (130, 140)] {
        let case = Case::new(&bank, Shape { n: 1, h, w }, &mut stream);
        let mut alone = vec![f32::NAN; case.image.len()];
        let mut blended = alone.clone();
        let view = View::new(&case.image, h, w).unwrap();
        for k in (0..bank.len()).filter(|&k| bank.op(k).is_some()) {
            let mut weights = vec![0.0; bank.len()];
            weights[k] = 1.0;
            let Case { shape, image, raw, network, .. } = &case;
            blend::forward(&bank, *shape, image, raw, &weights, network.as_deref(), &mut blended).unwrap();
            blend::apply(&bank, k, view, raw[k], &mut alone).unwrap();
            assert_eq!(alone, blended, "{} at {h} x {w}", bank.slots()[k].name());
        }
        let network = bank.network_slot().unwrap();
        for (k, word) in [(network, "the network's place"), (bank.len(), "nothing")] {
            let error = blend::apply(&bank, k, view, 0.0, &mut alone).unwrap_err().to_string();
            assert!(error.ends_with(word), "{error}");
        }
    }
}
