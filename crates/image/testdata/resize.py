"""Writes resize.bin: what Pillow makes of the test pattern, for every case and filter in order.

The pattern and the cases are those of src/resize.rs's test `agrees_with_pillow_to_the_bit`.
Made with Pillow 13.0.0: python resize.py
"""

import pathlib

from PIL import Image

CASES = [((37, 29), (16, 16)), ((12, 9), (31, 20)), ((64, 48), (9, 40)), ((5, 50), (5, 7)), ((1, 3), (4, 2)), ((4, 5), (6, 15))]
FILTERS = ["NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS"]


def pattern(width, height):
    data = [(x * 7 + y * 13 + c * 29 + x * y) % 256 for y in range(height) for x in range(width) for c in range(3)]
    return Image.frombytes("RGB", (width, height), bytes(data))


out = b"".join(
    pattern(*source).resize(target, Image.Resampling[name]).tobytes() for source, target in CASES for name in FILTERS
)
pathlib.Path(__file__).with_name("resize.bin").write_bytes(out)
