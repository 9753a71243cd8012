//! What is fuzzed. One place for the two that run it: `cargo run --release -p xtask -- fuzz`, which needs nothing but the stable
//! toolchain, and the targets of cargo-fuzz in `fuzz/`.
//!
//! | module | what |
//! |---|---|
//! | `targets` | the readers of foreign files, each as a function of bytes |
//! | `seeds` | small good files that mutations start from, made here |
//! | `form` | how a kind of file is taken apart and put together: PNG chunks, zip entries, pickle opcodes, protobuf fields, … |
//! | `mutate` | the mutations, drawn from a [`Stream`](dyntta_image::Stream) |
//! | `scratch` | the folder of a reader that wants paths |

mod form;
mod mutate;
mod scratch;
mod seeds;
mod targets;

pub use form::Form;
pub use mutate::mutate;
pub use scratch::Scratch;
pub use seeds::{
    cifar_binary, cifar_meta, cifar_pickle, classifier_onnx, idx_files, labelled_images, pth, tiny_png,
};
pub use targets::{TARGETS, Target, target};

/// The longest input that is made of a shorter one, in bytes.
pub const LONGEST: usize = 64 << 10;

/// The longest message that a reader may give about a file, in bytes.
pub const LONGEST_MESSAGE: usize = 20_000;

/// Runs a target once on one input in a scratch folder of its own thread: what a target of cargo-fuzz does.
///
/// # Panics
/// If the reader does, if no target has this name, or if the reader's message is [not fit for a terminal](bad_message).
pub fn fuzz(name: &str, bytes: &[u8]) {
    thread_local! {
        static SCRATCH: std::cell::RefCell<Option<Scratch>> = const { std::cell::RefCell::new(None) };
    }
    let target = target(name).expect("a target's name");
    SCRATCH.with_borrow_mut(|slot| {
        let scratch = slot.get_or_insert_with(|| Scratch::new(target).expect("a temporary folder"));
        if let Err(message) = scratch.run(bytes)
            && let Some(fault) = bad_message(&message)
        {
            panic!("{fault}");
        }
    });
}

/// What is wrong with a message about a foreign file: control characters, which a terminal would obey, or a whole file.
pub fn bad_message(message: &str) -> Option<String> {
    let control = |c: &char| c.is_control() && !matches!(c, '\n' | '\t');
    if message.chars().any(|c| control(&c)) {
        return Some("a message with control characters".into());
    }
    (message.len() > LONGEST_MESSAGE).then(|| format!("a message of more than {LONGEST_MESSAGE} bytes"))
}

#[cfg(test)]
mod tests {
    use dyntta_image::Stream;

    use super::*;

    /// How far the reader gets with the best of the seeds, where it is not to the end: weights too small to be a network's,
    /// files that are taken for two things at once.
    const FARTHEST: [(&str, &str); 7] = [
        ("safetensors", "do not fit"),
        ("pickle", "do not fit"),
        ("legacy", "do not fit"),
        ("npy", "expected"),
        ("idx", "expected"),
        ("cifar", "expected"),
        ("config", "expected"),
    ];

    #[test]
    fn the_seeds_are_good_files() {
        for target in TARGETS {
            let scratch = Scratch::new(target).unwrap();
            let results: Vec<_> = (target.seeds)().iter().map(|seed| scratch.run(seed)).collect();
            let far = FARTHEST.iter().find(|(name, _)| *name == target.name);
            let good = |result: &Result<(), String>| match (result, far) {
                (Ok(()), _) => true,
                (Err(message), Some((_, far))) => message.contains(far),
                (Err(_), None) => false,
            };
            assert!(results.iter().any(good), "{}: {results:?}", target.name);
        }
    }

    #[test]
    fn a_class_is_named_without_its_control_characters() {
        let scratch = Scratch::new(target("pickle").unwrap()).unwrap();
        let message = scratch.run(&seeds::weights::of_class("Float\x1b[2JStorage")).unwrap_err();
        assert_eq!(bad_message(&message), None, "{message:?}");
    }

    #[test]
    fn an_input_is_named_by_its_stream() {
        for target in TARGETS {
            let seeds = (target.seeds)();
            let made = |number: u32| {
                let mut stream = Stream::new(1, &[&number.to_string()]);
                mutate(&mut stream, target, &seeds[0], &seeds[seeds.len() - 1])
            };
            assert!((0..200).all(|i| made(i) == made(i)), "{}", target.name);
            let different = (0..200).filter(|i| made(*i) != seeds[0]).count();
            assert!(different > 150, "{}: only {different} of 200 mutations change anything", target.name);
        }
    }

    #[test]
    fn messages_for_a_terminal_have_no_control_characters_and_an_end() {
        assert_eq!(bad_message("two\nlines\tare fine"), None);
        assert!(bad_message("a\x1b[2Jb").unwrap().contains("control"));
        assert!(bad_message(&"x".repeat(LONGEST_MESSAGE + 1)).unwrap().contains("more than"));
    }
}
