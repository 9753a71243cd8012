//! Enhancers against the same networks by plain loops, from the same file.

mod common;

use common::{Plain, close, config, dyntta, image, tempdir, urie, write, write_weights};
use dyntta_image::{Rgb8, Stream};
use dyntta_ops::Bank;
use dyntta_runtime::{Enhancer, Method, Workspace};

const TOLERANCE: f32 = 1e-4;

#[test]
fn a_urie_is_the_plain_network() {
    let (dir, tensors) = (tempdir(), urie(""));
    let path = dir.path().join("bare.safetensors");
    write_weights(&path, &tensors);
    let enhancer = Enhancer::load(&path).unwrap();
    assert_eq!((enhancer.method(), enhancer.config()), (Method::Urie, None));
    let mut workspace = Workspace::new();
    // Large to small and back: what a buffer held before must not matter.
    let sizes =
        [[1, 32, 32], [2, 33, 47], [1, 1, 1], [3, 3, 50], [2, 5, 2], [1, 70, 19], [1, 9, 300], [1, 4, 4]];
    for size in sizes {
        let [n, h, w] = size;
        let x = image(n * 3 * h * w, &format!("{size:?}"));
        let mut out = vec![f32::NAN; x.len()];
        enhancer.enhance_planar(&mut workspace, n, h, w, &x, &mut out).unwrap();
        let expected = Plain(&tensors).urie("", size, &x);
        close(&out, &expected, TOLERANCE, &format!("{size:?}"));
        // The residual must be worth comparing.
        assert!(expected.iter().zip(&x).any(|(y, x)| (y - x).abs() > 0.1), "{size:?}");
    }
    assert!(workspace.weights().is_empty());
}

#[test]
fn dyntta_is_the_plain_pipeline() {
    let (dir, tensors) = (tempdir(), dyntta(50, true));
    let path = write(dir.path(), &tensors, &config("dyntta", ""));
    let loaded = Enhancer::load(path).unwrap();
    let bank = Bank::paper();
    assert_eq!(loaded.config().unwrap().image_size, [32, 32]);
    let mut workspace = Workspace::new();
    let views = [Some(32), None, Some(24), Some(40)];
    let sizes = [[1, 32, 32], [2, 33, 47], [1, 1, 1], [3, 3, 50]];
    for (view, size) in views.into_iter().zip(sizes).chain([(Some(32), [2, 20, 45]), (None, [2, 37, 30])]) {
        let [n, h, w] = size;
        let enhancer = loaded.clone().with_control_size(view).unwrap();
        let x = image(n * 3 * h * w, &format!("{size:?}"));
        let mut out = vec![f32::NAN; x.len()];
        enhancer.enhance_planar(&mut workspace, n, h, w, &x, &mut out).unwrap();
        let plain = Plain(&tensors);
        let [raw, weights] = plain.decide(view, size, &x);
        let what = format!("{view:?} {size:?}");
        close(workspace.raw(), &raw, TOLERANCE, &format!("raw {what}"));
        close(workspace.weights(), &weights, TOLERANCE, &format!("weights {what}"));
        close(&out, &plain.dyntta(&bank, view, size, &x), TOLERANCE, &what);
    }
}

#[test]
fn buffers_made_for_a_small_image_are_large_enough() {
    // Each with a workspace of its own: one that has seen larger images would hide a buffer that is too small.
    let enhancer = Enhancer::untrained(Method::Dyntta, 0);
    for view in [None, Some(1), Some(7), Some(33)] {
        let enhancer = enhancer.clone().with_control_size(view).unwrap();
        for [n, h, w] in [[1, 1, 1], [3, 1, 40], [2, 5, 3], [1, 4, 4], [1, 64, 9], [17, 8, 8]] {
            let x = image(n * 3 * h * w, "small");
            let mut out = vec![f32::NAN; x.len()];
            enhancer.enhance_planar(&mut Workspace::new(), n, h, w, &x, &mut out).unwrap();
            assert!(out.iter().all(|v| (0.0..=1.0).contains(v)), "{view:?} {n} {h} {w}");
        }
    }
}

#[test]
fn a_bank_without_network_needs_no_urie() {
    let names = r#""bank": ["rotate", "identity", "low_pass_0.3"], "control_size": 16,"#;
    let (dir, tensors) = (tempdir(), dyntta(3, false));
    let enhancer = Enhancer::load(write(dir.path(), &tensors, &config("dyntta", names))).unwrap();
    let bank = Bank::from_names(&["rotate", "identity", "low_pass_0.3"]).unwrap();
    let x = image(3 * 20 * 30, "no network");
    let mut out = vec![0.0; x.len()];
    enhancer.enhance_planar(&mut Workspace::new(), 1, 20, 30, &x, &mut out).unwrap();
    close(&out, &Plain(&tensors).dyntta(&bank, Some(16), [1, 20, 30], &x), TOLERANCE, "blend");
}

#[test]
fn explain_names_weights_and_factors() {
    let (dir, tensors) = (tempdir(), dyntta(50, true));
    let enhancer = Enhancer::load(write(dir.path(), &tensors, &config("dyntta", ""))).unwrap();
    let picture = Rgb8::new(40, 36, (0..40 * 36 * 3).map(|i| (i * 37 % 251) as u8).collect()).unwrap();
    let decisions = enhancer.explain(&picture).unwrap();
    let bank = enhancer.bank().unwrap();
    let [raw, weights] = Plain(&tensors).decide(Some(32), [1, 36, 40], &picture.to_planar());
    assert_eq!(decisions.len(), 50);
    for (k, decision) in decisions.iter().enumerate() {
        assert_eq!(decision.name, bank.names().nth(k).unwrap());
        assert!((decision.weight - weights[k]).abs() < TOLERANCE);
        let factor = bank.op(k).and_then(|op| op.magnitude()).map(|m| m.factor(raw[k]));
        assert_eq!(decision.factor.is_some(), factor.is_some(), "{}", decision.name);
        if let (Some(found), Some(expected)) = (decision.factor, factor) {
            assert!((found - expected).abs() < 1e-2, "{}: {found} for {expected}", decision.name);
        }
    }
    assert_eq!(Enhancer::untrained(Method::Urie, 0).explain(&picture).unwrap(), []);
}

#[test]
fn bytes_are_the_planes_clamped_and_rounded() {
    let enhancer = Enhancer::untrained(Method::Urie, 3);
    let picture = Rgb8::new(21, 10, (0..21 * 10 * 3).map(|i| (i * 11 % 256) as u8).collect()).unwrap();
    let x = picture.to_planar();
    let mut out = vec![0.0; x.len()];
    let mut workspace = Workspace::new();
    enhancer.enhance_planar(&mut workspace, 1, 10, 21, &x, &mut out).unwrap();
    let expected = Rgb8::from_planar(21, 10, &out).unwrap();
    assert_eq!(enhancer.enhance(&picture).unwrap(), expected);
    assert_eq!(enhancer.enhance_with(&mut workspace, &picture).unwrap(), expected);
}

#[test]
fn a_batch_is_its_images_one_by_one() {
    for (method, n, h, w) in
        [(Method::Urie, 5, 21, 34), (Method::Dyntta, 5, 32, 32), (Method::Dyntta, 3, 230, 300)]
    {
        let enhancer = Enhancer::untrained(method, 1);
        let size = 3 * h * w;
        let x = image(n * size, "batch");
        let mut together = vec![0.0; x.len()];
        let mut workspace = Workspace::new();
        enhancer.enhance_planar(&mut workspace, n, h, w, &x, &mut together).unwrap();
        let mut alone = vec![0.0; x.len()];
        for (x, out) in x.chunks_exact(size).zip(alone.chunks_exact_mut(size)) {
            enhancer.enhance_planar(&mut workspace, 1, h, w, x, out).unwrap();
        }
        // The convolution sums in another order where a batch is large and its maps tiny.
        close(&together, &alone, 1e-5, &format!("{method:?}"));
    }
}

#[test]
fn threads_change_nothing() {
    let enhancer = Enhancer::untrained(Method::Dyntta, 2);
    let (n, h, w) = (2, 61, 90);
    let x = image(n * 3 * h * w, "threads");
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut out = vec![0.0; x.len()];
        pool.install(|| enhancer.enhance_planar(&mut Workspace::new(), n, h, w, &x, &mut out)).unwrap();
        out
    };
    let one = run(1);
    for threads in [2, 3, 7] {
        assert_eq!(run(threads), one, "{threads} threads");
    }
    // Two callers at once.
    let mut outs = [(); 2].map(|()| vec![0.0; x.len()]);
    std::thread::scope(|scope| {
        for out in &mut outs {
            scope.spawn(|| enhancer.enhance_planar(&mut Workspace::new(), n, h, w, &x, out).unwrap());
        }
    });
    assert!(outs.iter().all(|out| *out == one));
}

#[test]
fn buffers_that_do_not_fit_and_sizes_of_nothing_are_errors() {
    for method in [Method::Urie, Method::Dyntta] {
        let enhancer = Enhancer::untrained(method, 0);
        let mut workspace = Workspace::new();
        enhancer.enhance_planar(&mut workspace, 0, 5, 5, &[], &mut []).unwrap();
        assert_eq!(workspace.bytes(), 0);
        let most = usize::MAX;
        for ((n, h, w), (x, out), said) in [
            ((1, 2, 2), (11, 12), "`x` has 11 values, expected 12"),
            ((1, 2, 2), (12, 13), "`out` has 13 values, expected 12"),
            ((0, 2, 2), (0, 12), "`out` has 12 values, expected 0"),
            ((3, 0, 5), (0, 0), "have no pixels"),
            ((3, 5, 0), (0, 0), "have no pixels"),
            ((1, most, 2), (6, 6), "too large"),
            ((1, 1 << 29, 1), (6, 6), "too large"),
            // 2^62 images of 4 pixels: their values are a multiple of 2^64.
            ((1 << 62, 2, 2), (0, 0), "more than any memory holds"),
            ((most, 1, 1), (3, 3), "more than any memory holds"),
        ] {
            let (x, mut out) = (vec![0.5; x], vec![0.5; out]);
            let error = enhancer.enhance_planar(&mut workspace, n, h, w, &x, &mut out).unwrap_err();
            assert!(error.to_string().contains(said), "{n} {h} {w}: {error}");
        }
    }
}

/// Images of many sizes, drawn from a seed.
fn pictures(seed: u64) -> Vec<Rgb8> {
    let mut stream = Stream::new(seed, &["pictures"]);
    let count = 1 + stream.below(7);
    let mut picture = |_| {
        let (w, h) = (1 + stream.below(70), 1 + stream.below(70));
        Rgb8::new(w, h, (0..w * h * 3).map(|_| stream.below(256) as u8).collect()).unwrap()
    };
    (0..count).map(&mut picture).collect()
}

#[test]
fn a_batch_is_its_images_to_the_bit() {
    for method in [Method::Urie, Method::Dyntta] {
        let enhancer = Enhancer::untrained(method, 4).with_control_size(Some(24)).unwrap();
        for seed in 0..6 {
            let images = pictures(seed);
            let single: Vec<Rgb8> = images.iter().map(|image| enhancer.enhance(image).unwrap()).collect();
            let explained: Vec<_> = images.iter().map(|image| enhancer.explain(image).unwrap()).collect();
            for threads in [1, 2, 5] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let together = pool.install(|| enhancer.enhance_batch(&images)).unwrap();
                assert!(together == single, "{method:?}, seed {seed}, {threads} threads");
                let together = pool.install(|| enhancer.explain_batch(&images)).unwrap();
                assert_eq!(together, explained, "{method:?}, seed {seed}, {threads} threads");
            }
        }
        // A large one among them: one after the other.
        let mut images = pictures(9);
        images.insert(1, Rgb8::new(500, 300, (0..450_000).map(|i| (i * 7 % 251) as u8).collect()).unwrap());
        let single: Vec<Rgb8> = images.iter().map(|image| enhancer.enhance(image).unwrap()).collect();
        assert!(enhancer.enhance_batch(&images).unwrap() == single);
        assert_eq!(enhancer.enhance_batch(&[]).unwrap(), []);
    }
}

#[test]
fn parts_add_up() {
    let enhancer = Enhancer::untrained(Method::Dyntta, 0);
    let x = image(3 * 64 * 64, "parts");
    let (mut out, mut workspace) = (vec![0.0; x.len()], Workspace::new());
    let start = std::time::Instant::now();
    enhancer.enhance_planar(&mut workspace, 1, 64, 64, &x, &mut out).unwrap();
    let parts = workspace.parts();
    assert!(parts.total() <= start.elapsed());
    assert!(
        [parts.conversions, parts.control, parts.network, parts.blend].iter().all(|part| !part.is_zero())
    );
    workspace.reset_parts();
    assert!(workspace.parts().total().is_zero());
}
