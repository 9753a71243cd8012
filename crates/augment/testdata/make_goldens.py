"""Writes torchvision.safetensors: what torchvision makes of two images, on PIL images, for what RandAugment and
TrivialAugmentWide draw.

`WIDTHxHEIGHT`: u8 HWC images; `WIDTHxHEIGHT.POLICY.OP.BIN.SIGN`: the image after the operation at the magnitude of this bin
of 31, SIGN one of + and -; `POLICY.OP.WIDTHxHEIGHT.BINS`: f32 [BINS], the magnitudes.

Made with torchvision 0.29.2, torch 2.15.0 and Pillow 13.0.0: python make_goldens.py
"""

import os
import pathlib

# torch.linspace rounds otherwise where it is vectorised.
os.environ["ATEN_CPU_CAPABILITY"] = "default"

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file
from torchvision.transforms import InterpolationMode, RandAugment, TrivialAugmentWide
from torchvision.transforms.autoaugment import _apply_op

POLICIES = {
    "randaugment": lambda bins, size: RandAugment(num_magnitude_bins=bins)._augmentation_space(bins, size),
    "trivialaugment": lambda bins, size: TrivialAugmentWide()._augmentation_space(bins),
}
BINS = {
    (17, 13): {"randaugment": [4, 9, 30], "trivialaugment": [1, 8, 15, 20, 30]},
    (32, 32): {"randaugment": [9], "trivialaugment": [20]},
}
NAMES = {"AutoContrast": "auto_contrast", "ShearX": "shear_x", "ShearY": "shear_y", "TranslateX": "translate_x",
         "TranslateY": "translate_y"}


def picture(width, height):
    """Waves and noise, no channel from 0 to 255."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    noise = (x * 7919 + y * 104729 + c * 1299709) * 2654435761 % 2**32 / 2**32
    waves = np.sin(x / 3 + c) + np.cos(y / 4 - c)
    return (110 + 20 * c + 38 * waves + 30 * noise).astype(np.uint8)


out = {}
for (width, height), bins_of in BINS.items():
    size = f"{width}x{height}"
    out[size] = picture(width, height)
    image = Image.fromarray(out[size])
    for policy, space in POLICIES.items():
        for op, (magnitudes, signed) in space(31, (height, width)).items():
            name = NAMES.get(op, op.lower())
            for bin in bins_of[policy] if magnitudes.ndim else [0]:
                for sign in "+-" if signed else "+":
                    magnitude = float(magnitudes[bin].item()) if magnitudes.ndim else 0.0
                    magnitude *= -1.0 if sign == "-" else 1.0
                    result = _apply_op(image, op, magnitude, InterpolationMode.NEAREST, None)
                    out[f"{size}.{policy}.{name}.{bin}.{sign}"] = np.asarray(result)
        for bins in [2, 7, 10, 11, 31]:
            for op, (magnitudes, signed) in space(bins, (height, width)).items():
                if magnitudes.ndim:
                    key = f"{policy}.{NAMES.get(op, op.lower())}.{size}.{bins}"
                    out[key] = magnitudes.numpy().astype(np.float32)
save_file(out, pathlib.Path(__file__).with_name("torchvision.safetensors"))
