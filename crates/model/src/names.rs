//! Names of networks: what others call ours, and which other networks have the keys and shapes of one of ours and compute
//! something else, so that weights alone don't tell them apart.

/// What other names, mostly timm's, our networks go by. Trained otherwise is the same network.
const ALIASES: &[(&str, &[&str])] = &[
    ("mobilenet_v2", &["mobilenetv2_100"]),
    ("efficientnet-lite0", &["tf_efficientnet_lite0", "efficientnet_lite0_tf"]),
    ("vit_b_16", &["vit_base_patch16_224", "deit_base_patch16_224", "vit_base_patch16_224_in21k"]),
    ("mixer_b16", &["mixer_b16_224", "mixer_b16_224_miil"]),
    ("tf_efficientnet_b0", &["tf_efficientnet_b0_ap", "tf_efficientnet_b0_ns"]),
];

/// Prefixes of timm's older names that tell how a network was trained.
const TRAINED: [&str; 5] = ["tv_", "ssl_", "swsl_", "ig_", "gluon_"];

/// Networks with the keys and shapes of one of ours.
const TWINS: &[(&str, &[&str])] = &[
    ("resnet18", &["resnetblur18"]),
    ("resnet50", &["resnetblur50", "resnetaa50"]),
    ("resnet101", &["resnetaa101", "resnetblur101"]),
    ("densenet121", &["densenetblur121"]),
    ("efficientnet_b0", &["tf_efficientnet_b0"]),
    ("tf_efficientnet_b0", &["efficientnet_b0"]),
    ("efficientnet-lite0", &["efficientnet_lite0"]),
];

/// Our name for a network's name: `resnet18.a1_in1k` and `tv_resnet18` are `resnet18`, CIFAR's `resnet20` is
/// `cifar-resnet20`. Whatever isn't known comes back as it is, without the tag after its dot.
pub fn ours(name: &str) -> String {
    let name = name.split('.').next().unwrap_or_default().trim();
    let plain = TRAINED.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let plain = plain.strip_suffix("_v1b").unwrap_or(plain);
    if let Some((ours, _)) = ALIASES.iter().find(|(_, names)| names.contains(&name) || names.contains(&plain))
    {
        return (*ours).to_owned();
    }
    let layers = plain.strip_prefix("resnet").and_then(|n| n.parse::<usize>().ok());
    match layers {
        // Depths that only the CIFAR ResNets have; 50 is also 6 · 8 + 2.
        Some(n) if ![18, 34, 50, 101, 152, 26, 14].contains(&n) && n >= 8 && (n - 2).is_multiple_of(6) => {
            format!("cifar-resnet{n}")
        }
        _ => plain.to_owned(),
    }
}

/// The networks that have the keys and shapes of ours and compute something else.
pub fn twins(ours: &str) -> &'static [&'static str] {
    TWINS.iter().find(|(name, _)| *name == ours).map_or(&[], |(_, twins)| twins)
}

/// The twin that a file's name begins with, such as `resnetblur18` of `resnetblur18-84f4748f.pth`.
pub fn twin_in_file_name(ours: &str, stem: &str) -> Option<&'static str> {
    twins(ours).iter().copied().filter(|twin| begins(stem, twin)).max_by_key(|twin| twin.len())
}

/// Whether a file's name begins with the name of a network: no letter or digit follows.
pub fn begins(stem: &str, name: &str) -> bool {
    stem.strip_prefix(name).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::{begins, ours, twin_in_file_name};

    #[test]
    fn names_of_others() {
        for (theirs, expected) in [
            ("resnet18.a1_in1k", "resnet18"),
            ("tv_resnet50", "resnet50"),
            ("gluon_resnet50_v1b", "resnet50"),
            ("resnet20", "cifar-resnet20"),
            ("resnet50", "resnet50"),
            ("resnetblur18", "resnetblur18"),
            ("mobilenetv2_100.ra_in1k", "mobilenet_v2"),
            ("vit_base_patch16_224", "vit_b_16"),
            ("tf_efficientnet_b0.ns_jft_in1k", "tf_efficientnet_b0"),
            ("tf_efficientnet_lite0", "efficientnet-lite0"),
            ("efficientnet_lite0", "efficientnet_lite0"),
            ("", ""),
        ] {
            assert_eq!(ours(theirs), expected, "{theirs}");
        }
    }

    #[test]
    fn a_twin_by_the_file() {
        assert_eq!(twin_in_file_name("resnet18", "resnetblur18-84f4748f"), Some("resnetblur18"));
        assert_eq!(twin_in_file_name("resnet18", "resnet18-5c106cde"), None);
        assert_eq!(
            twin_in_file_name("efficientnet_b0", "tf_efficientnet_b0_ns-c0e6a31c"),
            Some("tf_efficientnet_b0")
        );
        assert!(begins("efficientnet_b0_ra-3dd342df", "efficientnet_b0") && !begins("resnet500", "resnet50"));
    }
}
