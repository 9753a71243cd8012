"""Writes formats.bin: small files of many kinds, each with what Pillow makes of it.

Made with Pillow 13.0.0: python formats.py [CJPEG]
CJPEG is libjpeg-turbo's program, for the arithmetic-coded files; without it those that formats.bin has are kept.

    python formats.py --compare COMMAND SIZE SEED [CJPEG]

makes such files at about SIZE pixels a side instead, runs COMMAND (the example `pixels`, with its argument `ignore`) on them,
and compares the pixels.

formats.bin, inflated by zlib: for each file the name's length (u8), the name, the file's length (u32, little endian), the file, width and height
(u16) and the RGB bytes; of a file that Pillow does not read, width and height 0.
"""

import io
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import warnings
import zlib

from PIL import Image

warnings.simplefilter("ignore")
HERE = pathlib.Path(__file__).parent


def picture(width, height, rng, smooth=True):
    """An RGB picture: waves and some noise, or noise alone."""
    data = bytearray()
    for y in range(height):
        for x in range(width):
            for c in range(3):
                base = 40 + x * 150 // width + y * 60 // height + c * ((x + 2 * y) % 5) if smooth else 0
                data.append(min(255, base + rng.randrange(12)) if smooth else rng.randrange(256))
    return Image.frombytes("RGB", (width, height), bytes(data))


# PNG


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(width, height, depth, kind, rng, extra=b"", interlaced=False, colours=None, before=b""):
    bits = depth * SAMPLES[kind]
    limit = colours or 1 << depth

    def row(n):
        values = [rng.randrange(limit) for _ in range(n * SAMPLES[kind])]
        packed = 0
        for v in values:
            packed = packed << depth | v
        missing = -n * bits % 8
        return (packed << missing).to_bytes((n * bits + 7) // 8, "big")

    raw = b""
    if interlaced:
        for x0, y0, dx, dy in PASSES:
            n, rows = (width - x0 + dx - 1) // dx, (height - y0 + dy - 1) // dy
            if n > 0 and rows > 0:
                raw += b"".join(b"\0" + row(n) for _ in range(rows))
    else:
        # The filters Sub to Paeth need no sense in the bytes.
        raw = b"".join(bytes([rng.randrange(5)]) + row(width) for _ in range(height))
        if kind == 3:
            raw = b"".join(b"\0" + row(width) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + before + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    )


def pngs(w, h, rng):
    for depth in (1, 2, 4, 8, 16):
        yield f"grey{depth}.png", png(w, h, depth, 0, rng)
        yield f"grey{depth}-trns.png", png(w, h, depth, 0, rng, chunk(b"tRNS", b"\0\1"))
    for depth in (1, 2, 4, 8):
        n = 1 << depth
        palette = chunk(b"PLTE", rng.randbytes(3 * n))
        yield f"palette{depth}.png", png(w, h, depth, 3, rng, palette)
        yield f"palette{depth}-trns.png", png(w, h, depth, 3, rng, palette + chunk(b"tRNS", rng.randbytes(n // 2)))
    short = chunk(b"PLTE", rng.randbytes(15))
    yield "palette8-short.png", png(w, h, 8, 3, rng, short, colours=5)
    for depth in (8, 16):
        yield f"grey-alpha{depth}.png", png(w, h, depth, 4, rng)
        yield f"rgb{depth}.png", png(w, h, depth, 2, rng)
        yield f"rgb{depth}-trns.png", png(w, h, depth, 2, rng, chunk(b"tRNS", b"\0\1\0\2\0\3"))
        yield f"rgba{depth}.png", png(w, h, depth, 6, rng)
        yield f"rgb{depth}-interlaced.png", png(w, h, depth, 2, rng, interlaced=True)
    yield "grey1-interlaced.png", png(w, h, 1, 0, rng, interlaced=True)
    yield "palette4-interlaced.png", png(w, h, 4, 3, rng, chunk(b"PLTE", rng.randbytes(48)), interlaced=True)
    yield "grey-alpha16-interlaced.png", png(w, h, 16, 4, rng, interlaced=True)
    gamma = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"sBIT", b"\5\6\5")
    yield "rgb8-gamma.png", png(w, h, 8, 2, rng, gamma)
    orientation = b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x06\0\0\0\0\0\0\0"
    yield "rgb8-exif6.png", png(w, h, 8, 2, rng, chunk(b"eXIf", orientation))
    # An animation: its first picture is the still one, or the still one stands apart.
    control = chunk(b"acTL", struct.pack(">II", 1, 0))
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, w, h, 0, 0, 1, 10, 0, 0))
    yield "animated.png", png(w, h, 8, 2, rng, control, before=frame)
    with_apart = png(w, h, 8, 2, rng, control)
    other = zlib.compress(b"".join(b"\0" + rng.randbytes(3 * w) for _ in range(h)))
    yield "animated-apart.png", with_apart[:-12] + frame + chunk(b"fdAT", struct.pack(">I", 1) + other) + with_apart[-12:]


# BMP


def bmp(width, height, bits, pixels, compression=0, palette=b"", masks=b"", size=40, colours=0):
    if size == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        header = struct.pack("<IiiHHIIIIII", size, width, height, 1, bits, compression, len(pixels), 2835, 2835, colours, 0)
        header += masks[: max(0, size - 40)].ljust(max(0, size - 40), b"\0")
        if size == 40:
            header += masks
    offset = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + header + palette + pixels


def rows(width, height, bits, rng, limit=None):
    def row():
        if limit is None:
            data = rng.randbytes((width * bits + 7) // 8)
        else:
            packed = 0
            for _ in range(width):
                packed = packed << bits | rng.randrange(limit)
            missing = -width * bits % 8
            data = (packed << missing).to_bytes((width * bits + 7) // 8, "big")
        return data + bytes(-len(data) % 4)

    return b"".join(row() for _ in range(height))


def run_lengths(width, height, bits, rng, whole):
    """Rows of runs and literal stretches; with gaps and early ends of all rows but the last unless `whole`."""
    limit = 1 << bits
    out = bytearray()
    y = 0
    while y < height:
        x = 0
        while x < width:
            left = width - x
            choice = rng.randrange(3 if whole or y == height - 1 else 4)
            if choice == 3:
                if rng.randrange(2) and y + 1 < height and left > 1:
                    dx = rng.randrange(left)
                    out += bytes([0, 2, dx, 1])
                    x += dx
                    y += 1
                    continue
                break
            if choice == 2 and left >= 3:
                n = rng.randrange(3, min(left, 40) + 1)
                values = [rng.randrange(limit) for _ in range(n)]
                if bits == 4:
                    values += [0] * (n % 2)
                    data = bytes(values[i] << 4 | values[i + 1] for i in range(0, len(values), 2))
                else:
                    data = bytes(values)
                out += bytes([0, n]) + data + bytes(len(data) % 2)
            else:
                n = rng.randrange(1, min(left, 40) + 1)
                value = rng.randrange(256) if bits == 8 else rng.randrange(16) << 4 | rng.randrange(16)
                out += bytes([n, value])
            x += n
        out += b"\0\0"
        y += 1
    return bytes(out[:-2]) + b"\0\1"


def bmps(w, h, rng):
    def palette(n):
        return b"".join(rng.randbytes(3) + b"\0" for _ in range(n))

    for bits in (1, 4, 8):
        n = 1 << bits
        yield f"palette{bits}.bmp", bmp(w, h, bits, rows(w, h, bits, rng), palette=palette(n))
        yield f"palette{bits}-top-down.bmp", bmp(w, -h, bits, rows(w, h, bits, rng), palette=palette(n))
        yield f"os2-{bits}.bmp", bmp(w, h, bits, rows(w, h, bits, rng), palette=rng.randbytes(3 * n), size=12)
    yield "palette8-short.bmp", bmp(w, h, 8, rows(w, h, 8, rng, 7), palette=palette(7), colours=7)
    grey = b"".join(bytes([v, v, v, 0]) for v in range(256))
    yield "grey8.bmp", bmp(w, h, 8, rows(w, h, 8, rng), palette=grey)
    yield "black-white.bmp", bmp(w, h, 1, rows(w, h, 1, rng), palette=b"\0\0\0\0\xff\xff\xff\0")
    yield "white-black.bmp", bmp(w, h, 1, rows(w, h, 1, rng), palette=b"\xff\xff\xff\0\0\0\0\0")
    for whole, name in ((True, ""), (False, "-gaps")):
        yield f"rle8{name}.bmp", bmp(w, h, 8, run_lengths(w, h, 8, rng, whole), 1, palette(256))
        yield f"rle4{name}.bmp", bmp(w, h, 4, run_lengths(w, h, 4, rng, whole), 2, palette(16))
    yield "555.bmp", bmp(w, h, 16, rows(w, h, 16, rng))
    yield "24.bmp", bmp(w, h, 24, rows(w, h, 24, rng))
    yield "24-top-down.bmp", bmp(w, -h, 24, rows(w, h, 24, rng))
    yield "os2-24.bmp", bmp(w, h, 24, rows(w, h, 24, rng), size=12)
    yield "32.bmp", bmp(w, h, 32, rows(w, h, 32, rng))
    yield "32-top-down.bmp", bmp(w, -h, 32, rows(w, h, 32, rng))
    masks16 = {"565": (0xF800, 0x7E0, 0x1F), "555-masks": (0x7C00, 0x3E0, 0x1F)}
    for name, masks in masks16.items():
        for size in (40, 52, 56, 108, 124):
            full = struct.pack("<IIII", *masks, 0)
            given = full[:12] if size in (40, 52) else full
            yield f"{name}-v{size}.bmp", bmp(w, h, 16, rows(w, h, 16, rng), 3, masks=given, size=size)
    yield "444.bmp", bmp(w, h, 16, rows(w, h, 16, rng), 3, masks=struct.pack("<IIII", 0xF00, 0xF0, 0xF, 0), size=56)
    masks32 = {
        "bgrx": (0xFF0000, 0xFF00, 0xFF, 0),
        "xbgr": (0xFF000000, 0xFF0000, 0xFF00, 0),
        "abgr": (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
        "rgba": (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        "bgra": (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        "bgar": (0xFF000000, 0xFF00, 0xFF, 0xFF0000),
    }
    for name, masks in masks32.items():
        yield f"{name}.bmp", bmp(w, h, 32, rows(w, h, 32, rng), 3, masks=struct.pack("<IIII", *masks), size=108)
    yield "bgrx-v40.bmp", bmp(w, h, 32, rows(w, h, 32, rng), 3, masks=struct.pack("<III", *masks32["bgrx"][:3]))


# WebP and JPEG, by Pillow's own libraries


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def webps(w, h, rng):
    for smooth, name in ((True, "smooth"), (False, "noise")):
        image = picture(w, h, rng, smooth)
        for quality in (5, 50, 80, 100):
            yield f"{name}-q{quality}.webp", saved(image, "WEBP", quality=quality)
        yield f"{name}-lossless.webp", saved(image, "WEBP", lossless=True, method=rng.randrange(7))
        alpha = image.convert("RGBA")
        alpha.putalpha(Image.frombytes("L", (w, h), bytes(rng.choice((0, 90, 255)) for _ in range(w * h))))
        yield f"{name}-alpha.webp", saved(alpha, "WEBP", quality=70)
        yield f"{name}-alpha-exact.webp", saved(alpha, "WEBP", lossless=True, exact=True)
        yield f"{name}-alpha-lossless.webp", saved(alpha, "WEBP", lossless=True)
        if smooth:
            exif = Image.Exif()
            exif[0x112] = 6
            yield "exif6.webp", saved(image, "WEBP", exif=exif)
        others = [picture(w, h, rng) for _ in range(2)]
        yield f"{name}-animated.webp", saved(image, "WEBP", save_all=True, append_images=others, duration=50)
        yield f"{name}-animated-alpha.webp", saved(alpha, "WEBP", save_all=True, append_images=others, duration=50, lossless=True)


def jpegs(w, h, rng, cjpeg):
    image = picture(w, h, rng)
    noise = picture(w, h, rng, smooth=False)
    for source, name in ((image, "smooth"), (noise, "noise")):
        for sampling in ("4:4:4", "4:2:2", "4:2:0"):
            short = sampling.replace(":", "")
            yield f"{name}-{short}.jpg", saved(source, "JPEG", quality=rng.randrange(30, 96), subsampling=sampling)
            yield f"{name}-{short}-progressive.jpg", saved(source, "JPEG", quality=75, subsampling=sampling, progressive=True)
    yield "grey.jpg", saved(image.convert("L"), "JPEG")
    yield "grey-progressive.jpg", saved(image.convert("L"), "JPEG", progressive=True)
    yield "restarts.jpg", saved(image, "JPEG", restart_marker_blocks=1)
    yield "rgb.jpg", saved(image, "JPEG", keep_rgb=True)
    inks = saved(noise.convert("CMYK"), "JPEG", quality=90)
    yield "cmyk.jpg", inks
    at = inks.index(b"Adobe") + 11
    yield "ycck.jpg", inks[:at] + b"\2" + inks[at + 1 :]
    yield "cmyk-progressive.jpg", saved(noise.convert("CMYK"), "JPEG", quality=90, progressive=True)
    exif = Image.Exif()
    exif[0x112] = 6
    yield "exif6.jpg", saved(image, "JPEG", exif=exif)
    if cjpeg:
        with tempfile.NamedTemporaryFile(suffix=".ppm") as ppm:
            image.save(ppm.name)
            for name, options in {
                "arithmetic": ["-arithmetic"],
                "arithmetic-progressive": ["-arithmetic", "-progressive"],
                "440": ["-sample", "1x2"],
                "411": ["-sample", "4x1"],
                "410": ["-sample", "4x2"],
                "421": ["-sample", "2x2,2x1,2x1"],
            }.items():
                yield f"{name}.jpg", subprocess.run([cjpeg, *options, ppm.name], capture_output=True, check=True).stdout


def files(size, rng, cjpeg):
    for make in (pngs, bmps, webps):
        yield from make(size + rng.randrange(4), size - rng.randrange(4), rng)
    yield from jpegs(size + rng.randrange(4), size - rng.randrange(4), rng, cjpeg)


def expected(file):
    try:
        image = Image.open(io.BytesIO(file)).convert("RGB")
        return image.width, image.height, image.tobytes()
    except Exception:
        return 0, 0, b""


def compare(command, size, seed, cjpeg):
    good = 0
    with tempfile.TemporaryDirectory() as folder:
        made = {}
        for name, file in files(size, random.Random(seed), cjpeg):
            path = pathlib.Path(folder) / name
            path.write_bytes(file)
            made[str(path)] = expected(file)
        said = subprocess.run([*command.split(), *made], capture_output=True, text=True, check=True).stdout
        for line in said.splitlines():
            path, what = line.split("\t", 1)
            width, height, pixels = made[path]
            name = pathlib.Path(path).name
            if what != f"{width}x{height}":
                print(f"{name}: {what.replace(path, '')}; Pillow {width}x{height}")
                continue
            ours = pathlib.Path(path + ".rgb").read_bytes()
            off = [abs(a - b) for a, b in zip(ours, pixels)]
            if any(off):
                print(f"{name}: {sum(o > 0 for o in off)} of {len(off)} values differ, by {max(off)} at most")
            else:
                good += 1
    print(f"{good} of {len(made)} files are the same")


def kept():
    """The arithmetic-coded files that are there."""
    data = zlib.decompress((HERE / "formats.bin").read_bytes())
    at = 0
    while at < len(data):
        n = data[at]
        name = data[at + 1 : at + 1 + n].decode()
        at += 1 + n
        (length,) = struct.unpack_from("<I", data, at)
        file = data[at + 4 : at + 4 + length]
        at += 4 + length
        width, height = struct.unpack_from("<HH", data, at)
        at += 4 + 3 * width * height
        yield name, file


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--compare"]:
        compare(arguments[1], int(arguments[2]), int(arguments[3]), arguments[4] if len(arguments) > 4 else None)
    else:
        cjpeg = arguments[0] if arguments else None
        made = dict(files(7, random.Random(1), cjpeg))
        if not cjpeg:
            made.update({name: file for name, file in kept() if name not in made})
        out = b""
        for name, file in made.items():
            width, height, pixels = expected(file)
            out += bytes([len(name)]) + name.encode() + struct.pack("<I", len(file)) + file
            out += struct.pack("<HH", width, height) + pixels
        written = (HERE / "formats.bin").write_bytes(zlib.compress(out, 9))
        print(f"{len(made)} files, {written} bytes")
