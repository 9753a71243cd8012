//! Which architecture weights are of: proved by all their keys and shapes, held against the names that stand beside them, and
//! asked for where those leave several.

use std::path::PathBuf;

use dyntta_files::{shown, shown_text};
use dyntta_model::keys::Naming;
use dyntta_model::{Choice, Shapes, StateDict, WeightFile, names};

use crate::classifier::Arch;
use crate::error::Error;
use crate::onnx::Options;
use crate::resnet::Depth;
use crate::zoo;

/// How many tensors (counters aside) a ResNet has: a convolution and four of the normalisation after it, of the stem and of
/// each of a block's layers and shortcuts; and the last layer's two.
fn tensors(depth: Depth) -> usize {
    let (blocks, layers, shortcuts) = match depth {
        Depth::D18 => (8, 2, 3),
        Depth::D34 => (16, 2, 3),
        Depth::D50 | Depth::Wide50 | Depth::Next50 => (16, 3, 4),
        Depth::D101 => (33, 3, 4),
    };
    5 * (1 + blocks * layers + shortcuts) + 2
}

/// The architectures whose keys and shapes, by our names, these are; several where they don't tell them apart.
pub(crate) fn fitting(shapes: &Shapes) -> Vec<Arch> {
    let mut all: Vec<Arch> = zoo::fitting(shapes).map(Arch::Zoo).collect();
    all.extend(residual(shapes).filter(|arch| match arch {
        Arch::CifarResNet(n) => shapes.len() == 5 + 30 * n + 2,
        Arch::ResNet(depth) => shapes.len() == tensors(*depth),
        _ => false,
    }));
    all
}

/// The architecture that most of these keys speak for, whatever else there is or is missing.
pub(crate) fn likely(shapes: &Shapes) -> Option<Arch> {
    fitting(shapes).first().copied().or_else(|| residual(shapes))
}

/// A ResNet by its blocks.
fn residual(shapes: &Shapes) -> Option<Arch> {
    let has = |key: &str| shapes.contains_key(key);
    let blocks = |layer: &str| (0..).take_while(|i| has(&format!("{layer}.{i}.conv1.weight"))).count();
    if has("linear.weight") && !has("layer4.0.conv1.weight") {
        let n = blocks("layer1");
        return (n > 0 && blocks("layer2") == n && blocks("layer3") == n).then_some(Arch::CifarResNet(n));
    }
    let bottleneck = has("layer1.0.conv3.weight");
    let inner = shapes.get("layer1.0.conv2.weight").map(|shape| &shape[..]);
    let depth = match (bottleneck, blocks("layer1"), blocks("layer3"), inner) {
        (false, 2, 2, _) => Depth::D18,
        (false, 3, 6, _) => Depth::D34,
        (true, 3, 6, Some([64, 64, ..])) => Depth::D50,
        (true, 3, 23, Some([64, 64, ..])) => Depth::D101,
        (true, 3, 6, Some([128, 128, ..])) => Depth::Wide50,
        (true, 3, 6, Some([128, 4, ..])) => Depth::Next50,
        _ => return None,
    };
    has("fc.weight").then_some(Arch::ResNet(depth))
}

/// Weights with what is known of them.
pub(crate) struct Proved {
    /// The file, also of a folder.
    pub path: PathBuf,
    pub dict: StateDict,
    pub arch: Arch,
    /// What a user should know of how they were chosen.
    pub notes: Vec<String>,
}

/// A file's weights and their architecture, if it is known: given, or the one whose keys and shapes they have. They are proved
/// to be of it when they go into its network.
#[derive(Debug)]
pub(crate) struct Found {
    file: WeightFile,
    choice: Choice,
    shapes: Shapes,
    pub arch: Option<Arch>,
    notes: Vec<String>,
}

impl Found {
    /// Of an open file.
    ///
    /// # Errors
    /// If it leaves several architectures or sets of weights possible.
    pub fn of(file: WeightFile, arch: Option<Arch>, options: &Options) -> Result<Self, Error> {
        let fits = |shapes: &Shapes| {
            let fitting = fitting(shapes);
            arch.map_or(!fitting.is_empty(), |arch| fitting.contains(&arch))
        };
        let choice = file.choose(options.weights_key.as_deref(), &fits)?;
        let theirs: Shapes = file
            .tensors()
            .filter_map(|(key, _, shape)| {
                Some((key.strip_prefix(choice.prefix.as_str())?.to_owned(), shape.to_vec()))
            })
            .filter(|(key, _)| choice.keys.binary_search(key).is_ok())
            .collect();
        // Where two keys are one of ours, loading says so.
        let shapes = choice.naming.canonical(&theirs).unwrap_or(theirs);
        let mut notes = choice.notes();
        let fitting = fitting(&shapes);
        let arch = match arch {
            Some(arch) => Some(given(arch, &file, &mut notes)),
            None if fitting.is_empty() => likely(&shapes),
            None => Some(named(&file, choice.naming, &fitting, &mut notes)?),
        };
        Ok(Self { file, choice, shapes, arch, notes })
    }

    /// Reads the weights.
    ///
    /// # Errors
    /// If they can't be read, or are of no known architecture.
    pub fn read(self) -> Result<Proved, Error> {
        let Self { file, choice, shapes, arch, notes } = self;
        let path = file.path().to_owned();
        let Some(arch) = arch else {
            let some: Vec<_> = choice.keys.iter().take(5).map(|key| shown_text(key).to_string()).collect();
            let more = if choice.keys.len() > 5 { ", …" } else { "" };
            let expected =
                format!("the weights of a known architecture ({}); name one with --arch", Arch::known());
            let found = format!("{} tensors: {}{more}", choice.keys.len(), some.join(", "));
            return Err(Error::Format { path, expected, found });
        };
        // Without its last layer the network is not this one: loading lists what is wrong.
        if let Some([0, ..] | [.., 0]) = shapes.get(arch.last_layer()).map(|shape| &shape[..]) {
            let expected = format!("a last layer of {arch} with classes");
            return Err(Error::Format { path, expected, found: "one of no elements".into() });
        }
        let dict = file.dict(&choice).map_err(|error| match error {
            dyntta_model::Error::NotFinite { path, key, value } => Error::NotFinite {
                path,
                message: format!("the classifier's weights hold {value} in `{}`", shown_text(&key)),
            },
            other => other.into(),
        })?;
        Ok(Proved { dict, path, arch, notes })
    }
}

/// A name of an architecture beside weights, and where it stands.
struct Told {
    place: String,
    name: String,
    /// Whether it is there for programs to build the network by, so that an unknown one is another network.
    binding: bool,
}

fn told(file: &WeightFile) -> Vec<Told> {
    let mut all = Vec::new();
    let beside = file.path().with_file_name("config.json");
    // What is wrong with that file, its own readers say.
    let config = dyntta_files::read_text(&beside, 1 << 20).ok();
    let config = config.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    if let Some(name) = config.as_ref().and_then(|config| config.get("architecture")?.as_str()) {
        all.push(Told { place: shown(&beside).to_string(), name: name.to_owned(), binding: true });
    }
    all.extend(file.told().iter().map(|(place, name)| {
        let (place, name) = (place.clone(), name.clone());
        Told { place, name, binding: false }
    }));
    all
}

/// The given architecture; a name that says otherwise is mentioned.
fn given(arch: Arch, file: &WeightFile, notes: &mut Vec<String>) -> Arch {
    let ours = arch.to_string();
    for Told { place, name, binding } in told(file) {
        if binding && names::ours(&name) != ours {
            notes.push(format!("taken for {arch} as asked, where {place} says `{}`", shown_text(&name)));
        }
    }
    arch
}

/// One of those that fit, by the names that stand beside the weights.
fn named(
    file: &WeightFile,
    naming: Naming,
    fitting: &[Arch],
    notes: &mut Vec<String>,
) -> Result<Arch, Error> {
    let all: Vec<String> = fitting.iter().map(Arch::to_string).collect();
    let either = all.join(" or ");
    let wrong = |place: &str, name: &str| Error::Format {
        path: file.path().to_owned(),
        expected: format!("the weights of one architecture (--arch {} takes them for that)", all[0]),
        found: format!("keys and shapes of {either}, where {place} says `{}`", shown_text(name)),
    };
    let mut chosen = None;
    for Told { place, name, binding } in told(file) {
        let ours = names::ours(&name);
        if let Some(i) = all.iter().position(|known| *known == ours) {
            chosen = chosen.or(Some(fitting[i]));
        } else if binding
            || all.iter().any(|known| names::twins(known).contains(&ours.as_str()))
            || ours.parse::<Arch>().is_ok()
        {
            return Err(wrong(&place, &name));
        }
    }
    if let Some(arch) = chosen {
        return Ok(arch);
    }
    let stem = file.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let by_name =
        all.iter().position(|known| names::begins(&names::ours(&stem), known) || names::begins(&stem, known));
    if let Some(i) = by_name {
        return Ok(fitting[i]);
    }
    if let Some(twin) = all.iter().find_map(|known| names::twin_in_file_name(known, &stem)) {
        return Err(wrong("the file's name", twin));
    }
    // Networks that others have too: timm's are named by timm alone.
    let twins: Vec<&str> = match (naming, fitting) {
        (Naming::Torchvision, [Arch::ResNet(_)]) => names::twins(&all[0]).to_vec(),
        (naming, _) if naming.is_timm() => names::twins(&all[0]).to_vec(),
        _ => Vec::new(),
    };
    let ours_to_tell = matches!(naming, Naming::TimmEfficientNet | Naming::TimmEfficientNetLite);
    if ours_to_tell && !twins.is_empty() {
        return Err(Error::Format {
            path: file.path().to_owned(),
            expected: format!("--arch {either}, or a config.json beside the weights that says which"),
            found: format!("keys and shapes that {} and {} share", all[0], twins.join(", ")),
        });
    }
    if !twins.is_empty() {
        notes.push(format!(
            "the keys and shapes are those of {}, and of {} too, which is another network: if it is that, export it to ONNX",
            all[0],
            twins.join(" and ")
        ));
    }
    Ok(fitting[0])
}
