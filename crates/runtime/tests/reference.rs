//! Enhancers against the same networks by plain loops, from the same file.

mod common;

use common::{Plain, close, config, dyntta, image, tempdir, urie, write, write_weights};
use dyntta_image::Rgb8;
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
        enhancer.enhance_planar(&mut workspace, n, h, w, &x, &mut out);
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
        enhancer.enhance_planar(&mut workspace, n, h, w, &x, &mut out);
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
            enhancer.enhance_planar(&mut Workspace::new(), n, h, w, &x, &mut out);
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
    enhancer.enhance_planar(&mut Workspace::new(), 1, 20, 30, &x, &mut out);
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
    assert_eq!(Enhancer::untrained(Method::Urie, 0).explain(&picture), None);
}

#[test]
fn bytes_are_the_planes_clamped_and_rounded() {
    let enhancer = Enhancer::untrained(Method::Urie, 3);
    let picture = Rgb8::new(21, 10, (0..21 * 10 * 3).map(|i| (i * 11 % 256) as u8).collect()).unwrap();
    let x = picture.to_planar();
    let mut out = vec![0.0; x.len()];
    let mut workspace = Workspace::new();
    enhancer.enhance_planar(&mut workspace, 1, 10, 21, &x, &mut out);
    let expected = Rgb8::from_planar(21, 10, &out).unwrap();
    assert_eq!(enhancer.enhance(&picture), expected);
    assert_eq!(enhancer.enhance_with(&mut workspace, &picture), expected);
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
        enhancer.enhance_planar(&mut workspace, n, h, w, &x, &mut together);
        let mut alone = vec![0.0; x.len()];
        for (x, out) in x.chunks_exact(size).zip(alone.chunks_exact_mut(size)) {
            enhancer.enhance_planar(&mut workspace, 1, h, w, x, out);
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
        pool.install(|| enhancer.enhance_planar(&mut Workspace::new(), n, h, w, &x, &mut out));
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
            scope.spawn(|| enhancer.enhance_planar(&mut Workspace::new(), n, h, w, &x, out));
        }
    });
    assert!(outs.iter().all(|out| *out == one));
}

#[test]
fn nothing_in_gives_nothing_out() {
    let enhancer = Enhancer::untrained(Method::Urie, 0);
    let mut workspace = Workspace::new();
    for (n, h, w) in [(0, 5, 5), (3, 0, 5), (3, 5, 0)] {
        enhancer.enhance_planar(&mut workspace, n, h, w, &[], &mut []);
    }
    assert_eq!(workspace.bytes(), 0);
}

#[test]
fn parts_add_up() {
    let enhancer = Enhancer::untrained(Method::Dyntta, 0);
    let x = image(3 * 64 * 64, "parts");
    let (mut out, mut workspace) = (vec![0.0; x.len()], Workspace::new());
    let start = std::time::Instant::now();
    enhancer.enhance_planar(&mut workspace, 1, 64, 64, &x, &mut out);
    let parts = workspace.parts();
    assert!(parts.total() <= start.elapsed());
    assert!(
        [parts.conversions, parts.control, parts.network, parts.blend].iter().all(|part| !part.is_zero())
    );
    workspace.reset_parts();
    assert!(workspace.parts().total().is_zero());
}
