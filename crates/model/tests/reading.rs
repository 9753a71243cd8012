//! Weight files of every kind, and what is said of those that are something else. `fixtures/make.py` makes the files.

use std::path::{Path, PathBuf};

use dyntta_model::{Limits, Shapes, StateDict, WeightFile};

const WEIGHT: [f32; 6] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
const BIAS: [f32; 2] = [0.5, -2.0];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

/// Whether a set is the fixtures' layer alone.
fn layer(shapes: &Shapes) -> bool {
    shapes.len() == 2
        && shapes.get("fc.weight").is_some_and(|s| *s == [2, 3])
        && shapes.contains_key("fc.bias")
}

fn read(bytes: Vec<u8>) -> Result<StateDict, String> {
    let file =
        WeightFile::from_bytes(bytes, Path::new("w.pth"), &Limits::DEFAULT).map_err(|e| e.to_string())?;
    let choice = file.choose(None, &layer).map_err(|e| e.to_string())?;
    file.dict(&choice).map_err(|e| e.to_string())
}

fn is_the_layer(dict: &StateDict, what: &str) {
    assert_eq!(dict.keys().collect::<Vec<_>>(), ["fc.bias", "fc.weight"], "{what}");
    assert_eq!(
        (&dict["fc.weight"].shape[..], &dict["fc.weight"].data[..]),
        (&[2, 3][..], &WEIGHT[..]),
        "{what}"
    );
    assert_eq!((&dict["fc.bias"].shape[..], &dict["fc.bias"].data[..]), (&[2][..], &BIAS[..]), "{what}");
}

#[test]
fn objects_beside_the_weights_do_not_matter() {
    for name in ["objects2.pth", "objects4.pth", "objects5.pth", "objects_legacy.pth"] {
        is_the_layer(&read(bytes(name)).unwrap(), name);
    }
    let file = WeightFile::open(&fixture("objects2.pth"), &Limits::DEFAULT).unwrap();
    assert_eq!(file.told(), [("its `args.model`".to_owned(), "linear".to_owned())]);
    let choice = file.choose(None, &layer).unwrap();
    assert_eq!(choice.prefix, "state_dict.");
    assert!(choice.notes().iter().any(|note| note.contains("left out") && note.contains("optimizer")));
}

#[test]
fn every_way_of_writing_them_is_read() {
    for name in [
        "views.pth",
        "views_legacy.pth",
        "half.pth",
        "bfloat.pth",
        "double.pth",
        "parameters.pth",
        "old.pth",
        "nnnnnnnnnnnnnnnnnnnn.pth",
        "nnnnnnnnnnnnnnnnnnnnn.pth",
        "nnnnnnnnnnnnnnnnnnnnnn.pth",
    ] {
        is_the_layer(&read(bytes(name)).unwrap(), name);
        let file = WeightFile::open(&fixture(name), &Limits::DEFAULT).unwrap();
        is_the_layer(&file.dict(&file.choose(None, &layer).unwrap()).unwrap(), name);
    }
}

#[test]
fn a_whole_network_is_read_as_its_state_dict() {
    let file = WeightFile::open(&fixture("network.pth"), &Limits::DEFAULT).unwrap();
    let keys: Vec<&str> = file.tensors().map(|(key, ..)| key).collect();
    let inner = ["bias", "num_batches_tracked", "running_mean", "running_var", "weight"]
        .map(|k| format!("inner.0.{k}"));
    assert_eq!(keys, [&["fc.bias", "fc.weight"].map(str::to_owned)[..], &inner].concat());
    assert_eq!(file.all().unwrap()["fc.weight"].data, WEIGHT);
}

#[test]
fn what_is_not_read_is_named() {
    for (name, word) in [
        ("quantised.pth", "`fc.weight`, found a tensor quantised"),
        ("sparse.pth", "`fc.weight`, found a tensor sparse"),
        ("float8.pth", "float8_e4m3fn"),
        ("script.pt", "a TorchScript archive"),
        ("expanded.pth", "6000000 elements made of 1"),
    ] {
        let error = read(bytes(name)).unwrap_err();
        assert!(error.contains(word), "{name}: {error}");
    }
}

/// A zip archive as PyTorch writes it: stored, an empty or filled padding field, sizes in a descriptor after the data.
fn zip(entries: &[(&str, &[u8])], align: usize, descriptors: bool) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    let mut directory: Vec<u8> = Vec::new();
    for (name, data) in entries {
        let at = out.len();
        let padding = (align - (at + 30 + name.len() + 4) % align) % align;
        let crc = rawzip::crc32(data);
        let sizes = |there: bool| {
            let n = if there { data.len() as u32 } else { 0 };
            [if there { crc } else { 0 }, n, n].map(u32::to_le_bytes).concat()
        };
        let flags: u16 = if descriptors { 0x0808 } else { 0 };
        out.extend([&b"PK\x03\x04\0\0"[..], &flags.to_le_bytes(), &[0; 6]].concat());
        out.extend(sizes(!descriptors));
        out.extend([name.len() as u16, padding as u16 + 4].map(u16::to_le_bytes).concat());
        out.extend(name.as_bytes());
        out.extend([&b"FB"[..], &(padding as u16).to_le_bytes(), &vec![b'Z'; padding]].concat());
        out.extend(*data);
        if descriptors {
            out.extend([&b"PK\x07\x08"[..], &sizes(true)].concat());
        }
        directory.extend([&b"PK\x01\x02\0\0\0\0"[..], &flags.to_le_bytes(), &[0; 6]].concat());
        directory.extend(sizes(true));
        directory.extend((name.len() as u16).to_le_bytes());
        directory.extend([0; 12]);
        directory.extend((at as u32).to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = out.len() as u32;
    out.extend(&directory);
    let count = (entries.len() as u16).to_le_bytes();
    out.extend([&b"PK\x05\x06\0\0\0\0"[..], &count, &count].concat());
    out.extend([directory.len() as u32, start].map(u32::to_le_bytes).concat());
    out.extend([0; 2]);
    out
}

/// `{"fc.weight": …, "fc.bias": …}` in protocol 2, each tensor with shape and strides in storage `0`.
fn pickle(tensors: &[(&str, usize, &[u32], &[u32])]) -> Vec<u8> {
    let int = |n: u32| [&b"J"[..], &n.to_le_bytes()].concat();
    let text = |t: &str| [&b"X"[..], &(t.len() as u32).to_le_bytes(), t.as_bytes()].concat();
    let tuple = |of: Vec<Vec<u8>>| [&b"("[..], &of.concat(), b"t"].concat();
    let ints = |of: &[u32]| tuple(of.iter().map(|n| int(*n)).collect());
    let mut out = b"\x80\x02}(".to_vec();
    for (key, offset, shape, strides) in tensors {
        let class = b"ctorch\nFloatStorage\n".to_vec();
        let storage =
            [tuple(vec![text("storage"), class, text("0"), text("cpu"), int(8)]), b"Q".to_vec()].concat();
        let arguments = tuple(vec![
            storage,
            int(*offset as u32),
            ints(shape),
            ints(strides),
            b"\x89".to_vec(),
            b"N".to_vec(),
        ]);
        out.extend(
            [text(key), b"ctorch._utils\n_rebuild_tensor_v2\n".to_vec(), arguments, b"R".to_vec()].concat(),
        );
    }
    out.extend(b"u.");
    out
}

fn layer_pickle() -> Vec<u8> {
    pickle(&[("fc.weight", 0, &[2, 3], &[3, 1]), ("fc.bias", 6, &[2], &[1])])
}

fn data(convert: fn(f32) -> [u8; 4]) -> Vec<u8> {
    WEIGHT.iter().chain(&BIAS).flat_map(|v| convert(*v)).collect()
}

#[test]
fn a_file_name_of_any_length_is_read() {
    for length in 1..=80 {
        let root = "n".repeat(length);
        let names = ["data.pkl", "byteorder", "data/0"].map(|name| format!("{root}/{name}"));
        for descriptors in [true, false] {
            let entries: [(&str, &[u8]); 3] =
                [(&names[0], &layer_pickle()), (&names[1], b"little"), (&names[2], &data(f32::to_le_bytes))];
            is_the_layer(&read(zip(&entries, 64, descriptors)).unwrap(), &root);
        }
    }
}

#[test]
fn the_byte_order_that_a_file_says_is_obeyed() {
    let entries: [(&str, &[u8]); 3] =
        [("a/data.pkl", &layer_pickle()), ("a/byteorder", b"big"), ("a/data/0", &data(f32::to_be_bytes))];
    is_the_layer(&read(zip(&entries, 64, true)).unwrap(), "big-endian");
}

#[test]
fn more_than_the_bytes_hold_is_refused_before_memory_is_taken() {
    let storage = data(f32::to_le_bytes);
    let error = |pickle: Vec<u8>| {
        let entries: [(&str, &[u8]); 2] = [("a/data.pkl", &pickle), ("a/data/0", &storage)];
        read(zip(&entries, 64, true)).unwrap_err()
    };
    let bias: (&str, usize, &[u32], &[u32]) = ("fc.bias", 6, &[2], &[1]);
    for (shape, strides, word) in [
        (&[1_000_000_000u32][..], &[0u32][..], "of 1000000000 elements made of 8"),
        (&[2_000_000_000], &[0], "more than"),
        (&[2_000_000_000, 2_000_000_000, 2_000_000_000], &[0, 0, 0], "more than"),
        (&[2, 3], &[4, 2], "beyond the end"),
        (&[2, 3], &[2_000_000_000, 2_000_000_000], "beyond the end"),
        (&[2, 3], &[1], "strides"),
    ] {
        let error = error(pickle(&[("fc.weight", 0, shape, strides), bias]));
        assert!(error.contains(word), "{shape:?}: {error}");
    }
    // Many that each repeat a few numbers.
    let many: Vec<String> = (0..30_000).map(|i| format!("l{i}.weight")).collect();
    let tensors: Vec<_> = many.iter().map(|k| (k.as_str(), 0, &[4096u32][..], &[0u32][..])).collect();
    let error = error(pickle(&tensors));
    assert!(error.contains("elements"), "{error}");
}

#[test]
fn a_wrong_checksum_is_damage() {
    let entries: [(&str, &[u8]); 2] =
        [("a/data.pkl", &layer_pickle()), ("a/data/0", &data(f32::to_le_bytes))];
    let mut file = zip(&entries, 64, true);
    let at = file.windows(4).position(|w| w == 5f32.to_le_bytes()).unwrap();
    file[at] ^= 1;
    assert!(read(file).unwrap_err().contains("checksum"));
}

#[test]
fn files_are_named_as_what_they_are() {
    let onnx = b"\x08\x08\x12\x07pytorch\x3a\x00";
    let mut h5 = b"\x89HDF\r\n\x1a\n".to_vec();
    h5.resize(100, 0);
    let mut tar = vec![0; 1536];
    tar[..4].copy_from_slice(b"cats");
    tar[124..135].copy_from_slice(b"00000000000");
    tar[257..262].copy_from_slice(b"ustar");
    let whole = bytes("objects2.pth");
    let legacy = bytes("objects_legacy.pth");
    let keras: [(&str, &[u8]); 2] = [("config.json", b"{}"), ("model.weights.h5", b"")];
    for (bytes, word) in [
        (b"".to_vec(), "found an empty file"),
        (b"<!doctype html><title>404</title>".to_vec(), "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n".to_vec(), "a Git LFS pointer"),
        (onnx.to_vec(), "ONNX"),
        (h5, "HDF5"),
        (tar, "a tar archive that is no PyTorch checkpoint"),
        (b"\x1f\x8b\x08\0".to_vec(), "a gzip file"),
        (b"GGUF\x03\0\0\0".to_vec(), "GGUF"),
        (b"{\"a\": 1}".to_vec(), "JSON"),
        (b"these are no weights\n".to_vec(), "these are no weights"),
        (zip(&keras, 64, false), "a Keras model"),
        (zip(&[("fc.npy", b"")], 64, false), "a NumPy archive"),
        (whole[..whole.len() / 2].to_vec(), "broke off"),
        (legacy[..legacy.len() - 20].to_vec(), "breaks off"),
        (legacy[..legacy.len() / 2].to_vec(), "breaks off"),
        (b"\x80\x04N.".to_vec(), "a pickle of something else"),
    ] {
        let error = read(bytes).unwrap_err();
        assert!(error.starts_with("w.pth: expected") && error.contains(word), "{word}: {error}");
    }
    let missing = WeightFile::open(Path::new("/nowhere/w.pth"), &Limits::DEFAULT).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/w.pth: cannot read"), "{missing}");
}

#[test]
fn a_pickle_of_many_values_beside_weights_is_read_in_time() {
    // A list in a list in a list …, each twice: 2^40 paths.
    let mut pickle = b"\x80\x02]q\x00".to_vec();
    for i in 0..40u8 {
        pickle.extend([b'0', b']', b'q', i + 1, b'(', b'h', i, b'h', i, b'e']);
    }
    pickle.push(b'.');
    let entries: [(&str, &[u8]); 1] = [("a/data.pkl", &pickle)];
    let error = read(zip(&entries, 64, true)).unwrap_err();
    assert!(error.contains("more values than are followed"), "{error}");
}

#[test]
fn damage_anywhere_is_an_error_or_other_numbers() {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut draw = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let safetensors = {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let dict = read(bytes("views.pth")).unwrap();
        dyntta_model::write(&path, &dict, Default::default()).unwrap();
        std::fs::read(path).unwrap()
    };
    let small = [
        "objects2.pth",
        "objects4.pth",
        "objects_legacy.pth",
        "views.pth",
        "views_legacy.pth",
        "old.pth",
        "network.pth",
    ];
    let mut files: Vec<Vec<u8>> = small.map(bytes).to_vec();
    files.push(safetensors);
    for round in 0..20_000 {
        let mut file = files[round % files.len()].clone();
        match draw(4) {
            0 => file.truncate(draw(file.len())),
            1 => {
                let (at, count) = (draw(file.len()), draw(16));
                file.splice(at..at, (0..count).map(|_| draw(256) as u8).collect::<Vec<_>>());
            }
            _ => {
                for _ in 0..=draw(8) {
                    let at = draw(file.len());
                    file[at] = if draw(2) == 0 { file[at] ^ (1 << draw(8)) } else { draw(256) as u8 };
                }
            }
        }
        if let Ok(file) = WeightFile::from_bytes(file, Path::new("w"), &Limits::DEFAULT) {
            let _ = file.choose(None, &layer).and_then(|choice| file.dict(&choice));
            let _ = file.all();
        }
    }
}

#[test]
fn the_same_tensors_and_metadata_are_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let dict: dyntta_model::StateDict =
        [("a.weight".to_owned(), dyntta_model::Entry { shape: vec![2], data: vec![1.0, -2.0] })].into();
    let mut files = Vec::new();
    for _ in 0..20 {
        let metadata =
            ["arch", "dyntta.training", "\"", "é", "format"].map(|k| (k.to_owned(), format!("{k}\n")));
        dyntta_model::write(&path, &dict, metadata.into()).unwrap();
        files.push(std::fs::read(&path).unwrap());
    }
    assert!(files.iter().all(|file| *file == files[0]));
    let file = dyntta_model::WeightFile::open(&path, &dyntta_model::Limits::DEFAULT).unwrap();
    assert_eq!(file.metadata()["dyntta.training"], "dyntta.training\n");
}
