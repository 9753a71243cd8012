"""Makes the operator cases: graphs of a node or a few, under the operator sets in which they changed, and what ONNX Runtime
gives for them.

    pip install numpy onnx onnxruntime safetensors
    python make_cases.py [FOLDER]

Each FAMILY-PART.safetensors has `NAME.model`, the bytes of an ONNX file, and `NAME.p`: three weighted sums of the scores of
each of two images. Pixel i is ((37 i + 11) mod 101) / 50 - 1, the weight of score k in sum j is ((37 + 2 j) k + 11 j) mod 101,
over 50, - 1. With a FOLDER of its own there is also `NAME.y`, the scores. The metadata tells which cases are also checked for
their gradient (`smooth`), and of which ones only that they are refused, by which words (`refused`).
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from safetensors.numpy import save_file

ort.set_default_logger_severity(4)
HERE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
FULL = len(sys.argv) > 1
LARGEST = 48_000
rng = np.random.default_rng(7)
families, smooth, refused = {}, {}, {}
f4 = lambda *shape: rng.standard_normal(shape).astype(np.float32)
i8 = lambda *values: np.array(values, np.int64)
node = helper.make_node


def pixels(shape):
    i = np.arange(int(np.prod(shape)), dtype=np.int64)
    return (((37 * i + 11) % 101).astype(np.float32) / np.float32(50) - np.float32(1)).reshape(shape)


def model(nodes, tensors, opset, size, integers=False, raw=False):
    """The last node gives `y`; scores are its values, as floats, times 1.5."""
    end = [node("Cast", ["y"], ["yf"], to=T.FLOAT)] if integers else []
    end += [node("Reshape", ["yf" if integers else "y", "to.rows"], ["rows"]), node("Mul", ["rows", "by"], ["scores"])]
    tensors = {"to.rows": i8(2, -1), "by": np.array([1.5], np.float32), **tensors}
    if raw:
        end = [node("Identity", ["y"], ["scores"])]
    inits = [t if isinstance(t, T) else numpy_helper.from_array(t, n) for n, t in tensors.items()]
    graph = helper.make_graph(
        [*nodes, *end], "case", [helper.make_tensor_value_info("x", T.FLOAT, (2, 3, *size))],
        [helper.make_tensor_value_info("scores", T.FLOAT, (2, "classes"))], inits,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def case(family, name, nodes, tensors=None, opset=17, size=(6, 5), integers=False, grad=False, refuse=None, y=None):
    nodes = nodes if isinstance(nodes, list) else [nodes]
    proto = model(nodes, tensors or {}, opset, size, integers)
    data = proto.SerializeToString()
    name = f"{name}.{opset}"
    entry = families.setdefault(family, {})
    assert f"{name}.model" not in entry, name
    if refuse is None and y is None:
        try:
            session = ort.InferenceSession(data)
            y = session.run(None, {"x": pixels((2, 3, *size))})[0]
        except Exception as error:
            print(f"{family}/{name}: ONNX Runtime doesn't: {str(error)[:150]}")
            return
    entry[f"{name}.model"] = np.frombuffer(data, np.uint8)
    if refuse is None:
        y = np.ascontiguousarray(y, np.float32)
        k = np.arange(y.shape[1])
        weights = np.stack([((37 + 2 * j) * k + 11 * j) % 101 / 50 - 1 for j in range(3)], 1)
        assert np.isfinite(y).all(), name
        entry[f"{name}.p"] = (y.astype(np.float64) @ weights).astype(np.float32)
        if FULL:
            entry[f"{name}.y"] = y
        if grad:
            smooth.setdefault(family, []).append(name)
    else:
        refused.setdefault(family, {})[name] = refuse


def nets():
    """One small network under every operator set, with what each has of its own."""
    for opset in range(7, 26):
        w, fc = f4(4, 3, 3, 3) * 0.4, f4(4, 5)
        stats = {k: np.abs(f4(4)) + 0.5 for k in ("scale", "shift", "mean", "var")}
        axes = dict(axes=[2, 3]) if opset < 18 else {}
        reduce = ["d"] + (["axes"] if opset >= 18 else [])
        squeeze = dict(axes=[2, 3]) if opset < 13 else {}
        nodes = [
            node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2], kernel_shape=[3, 3]),
            node("BatchNormalization", ["a", "scale", "shift", "mean", "var"], ["b"], epsilon=1e-3),
            node("Relu", ["b"], ["c"]),
            node("MaxPool", ["c"], ["d"], kernel_shape=[2, 2], strides=[1, 1]),
            node("ReduceMean", reduce, ["e"], keepdims=1, **axes),
            node("Squeeze", ["e"] + (["axes"] if opset >= 13 else []), ["f"], **squeeze),
            node("Gemm", ["f", "fc", "bias"], ["y"], alpha=0.5),
        ]
        case("nets", "net", nodes, {"w": w, "fc": fc, "bias": f4(5), **stats, "axes": i8(2, 3)}, opset)


def unary():
    for op in "Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Atanh Erf Tanh Sigmoid Softplus Softsign Exp Neg".split():
        inner = [node("Mul", ["x", "half"], ["h"]), node(op, ["h"], ["y"])]
        case("unary", op, inner, {"half": np.float32([0.8])}, 17, grad=True)
    case("unary", "Acosh", [node("Add", ["x", "c"], ["h"]), node("Acosh", ["h"], ["y"])], {"c": np.float32([2.5])}, 17, grad=True)
    for op in "Log Sqrt Reciprocal".split():
        case("unary", op, [node("Add", ["x", "c"], ["h"]), node(op, ["h"], ["y"])], {"c": np.float32([1.5])}, 13, grad=True)
    for op, kw in [("Celu", dict(alpha=0.7)), ("Elu", dict(alpha=0.7)), ("Selu", {}), ("HardSwish", {}), ("HardSigmoid", dict(alpha=0.3)),
                   ("LeakyRelu", dict(alpha=0.2)), ("ThresholdedRelu", dict(alpha=0.4)), ("Shrink", dict(lambd=0.4, bias=0.1))]:
        case("unary", op, node(op, ["x"], ["y"], **kw), None, 17)
    for op, opset, kw in [("Mish", 18, {}), ("Gelu", 20, {}), ("Gelu", 20, dict(approximate="tanh")), ("Swish", 24, dict(alpha=1.3))]:
        case("unary", op + "".join(kw.get("approximate", "")), node(op, ["x"], ["y"], **kw), None, opset, grad=True)
    for op in "Floor Ceil Sign Abs Relu".split():
        case("unary", op, node(op, ["x"], ["y"]), None, 13)
    ties = np.float32([5.0])
    case("unary", "Round", [node("Mul", ["x", "c"], ["h"]), node("Round", ["h"], ["y"])], {"c": ties}, 11)
    for opset in (7, 9, 16):
        case("unary", "PRelu", node("PRelu", ["x", "s"], ["y"]), {"s": f4(3, 1, 1)}, opset)
    for opset in (7, 10):
        case("unary", "Clip", node("Clip", ["x"], ["y"], min=-0.3, max=0.4), None, opset)
        case("unary", "Clip.low", node("Clip", ["x"], ["y"], min=-0.3), None, opset)
    for opset in (11, 12, 13):
        t = {"lo": np.float32(-0.3), "hi": np.float32(0.4)}
        case("unary", "Clip", node("Clip", ["x", "lo", "hi"], ["y"]), t, opset)
        case("unary", "Clip.high", node("Clip", ["x", "", "hi"], ["y"]), t, opset)
        case("unary", "Clip.ignored", node("Clip", ["x"], ["y"]), t, opset)
    for e in (0.0, 1.0, 2.0, 3.0, 5.0, 0.5, -1.0, -0.5, 1.7, np.inf, -np.inf):
        nodes = [node("Abs", ["x"], ["a"]), node("Add", ["a", "c"], ["h"]), node("Pow", ["h", "e"], ["p"]), node("Clip", ["p", "lo", "hi"], ["y"])]
        t = {"c": np.float32([0.3]), "e": np.float32([e]), "lo": np.float32(-1e6), "hi": np.float32(1e6)}
        case("unary", f"Pow.{e}", nodes, t, 15)
    case("unary", "Pow.tensor", [node("Abs", ["x"], ["a"]), node("Add", ["a", "c"], ["h"]), node("Pow", ["h", "e"], ["y"])],
         {"c": np.float32([0.3]), "e": f4(3, 1, 1)}, 13, grad=True)
    for opset in (7, 12, 15):
        case("unary", "Pow.whole", node("Pow", ["x", "e"], ["y"]), {"e": np.float32([3])}, opset)
    case("unary", "Pow.int", node("Pow", ["x", "e"], ["y"]), {"e": i8(2)}, 12)


def reductions():
    ops = "Mean Sum Max Min Prod SumSquare L1 L2 LogSum LogSumExp".split()
    for op in ops:
        pre = [node("Abs", ["x"], ["p"]), node("Add", ["p", "c"], ["q"])]
        t = {"c": np.float32([0.2])}
        for opset in (7, 11, 13):
            if op == "Sum" and opset == 13:
                continue
            case("reductions", f"{op}.axes", [*pre, node("Reduce" + op, ["q"], ["y"], axes=[2, -1] if opset > 7 else [2, 3], keepdims=0)], t, opset)
            case("reductions", f"{op}.one", [*pre, node("Reduce" + op, ["q"], ["y"], axes=[1])], t, opset)
        for opset in (13, 18, 20):
            if op != "Sum" and opset == 13 or op not in ("Max", "Min") and opset == 20:
                continue
            case("reductions", f"{op}.input", [*pre, node("Reduce" + op, ["q", "axes"], ["y"], keepdims=0)], {**t, "axes": i8(-2, 3)}, opset, grad=True)
            case("reductions", f"{op}.noop", [*pre, node("Reduce" + op, ["q"], ["y"], noop_with_empty_axes=1)], t, opset, grad=True)
            case("reductions", f"{op}.noop.empty", [*pre, node("Reduce" + op, ["q", "axes"], ["y"], noop_with_empty_axes=1)], {**t, "axes": i8()}, opset)
            case("reductions", f"{op}.noop.kept", [*pre, node("Reduce" + op, ["q"], ["y"], noop_with_empty_axes=1, keepdims=0)], t, opset)
            case("reductions", f"{op}.noop.axes", [*pre, node("Reduce" + op, ["q", "axes"], ["y"], noop_with_empty_axes=1)], {**t, "axes": i8(1)}, opset)
            # All axes: one number, added to each pixel.
            case("reductions", f"{op}.all", [*pre, node("Reduce" + op, ["q"], ["s"], keepdims=0), node("Add", ["x", "s"], ["y"])], t, opset)
            case("reductions", f"{op}.all.empty", [*pre, node("Reduce" + op, ["q", "axes"], ["s"]), node("Add", ["x", "s"], ["y"])], {**t, "axes": i8()}, opset)
    for op in ops[:-2]:
        k = np.arange(-5, 7, dtype=np.int32).reshape(3, 4, 1)
        case("reductions", f"{op}.int", [node("Reduce" + op, ["k", "axes"], ["r"], keepdims=0), node("Cast", ["r"], ["f"], to=1), node("Add", ["x", "f"], ["y"])],
             {"k": k, "axes": i8(1, 2)}, 18, size=(4, 3))
    for opset in (7, 11, 12, 13):
        for op in ("Softmax", "LogSoftmax", "Hardmax"):
            for axis in (None, 1, 2, 3, -1, -2) if opset > 7 else (None, 1, 2, 3):
                kw = {} if axis is None else dict(axis=axis)
                case("softmax", f"{op}.{axis}", node(op, ["x"], ["y"], **kw), None, opset, size=(3, 2), grad=op != "Hardmax" and axis == 2)


def resize():
    sizes = [(5, 7), (12, 10), (3, 3), (1, 13), (6, 5), (17, 4)]
    coordinates = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn"]
    for c in coordinates:
        opset = 11 if c == "tf_half_pixel_for_nn" else 19 if c == "half_pixel_symmetric" else 13
        for n in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
            for i, (h, w) in enumerate(sizes):
                if not FULL and (i + len(n) + len(c)) % 3:
                    continue
                kw = dict(mode="nearest", coordinate_transformation_mode=c, nearest_mode=n)
                case("resize", f"{c}.{n}.{h}x{w}", node("Resize", ["x", "", "", "s"], ["y"], **kw), {"s": i8(2, 3, h, w)}, max(opset, 13) if opset != 11 else 13)
            for s in ((1, 1, 0.6, 1.7), (1, 1, 2.3, 0.3)):
                kw = dict(mode="nearest", coordinate_transformation_mode=c, nearest_mode=n)
                case("resize", f"{c}.{n}.by{s[2]}", node("Resize", ["x", "", "s"], ["y"], **kw), {"s": np.float32(s)}, max(opset, 13))
        for mode in ("linear", "cubic"):
            kw = dict(mode=mode, coordinate_transformation_mode=c)
            case("resize", f"{c}.{mode}", node("Resize", ["x", "", "", "s"], ["y"], **kw), {"s": i8(2, 3, 9, 3)}, max(opset, 13), grad=True)
            case("resize", f"{c}.{mode}.by", node("Resize", ["x", "", "s"], ["y"], **kw), {"s": np.float32([1, 1, 0.7, 1.9])}, max(opset, 13))
    kw = dict(mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5)
    case("resize", "outside", node("Resize", ["x", "", "", "s"], ["y"], **kw), {"s": i8(2, 3, 9, 3)}, 13)
    for opset in (11, 18, 19):
        roi = {"roi": np.float32([])} if opset == 11 else {}
        case("resize", "default", node("Resize", ["x", "roi" if roi else "", "s"], ["y"]), {"s": np.float32([1, 1, 1.5, 0.5]), **roi}, opset)
    for mode in ("nearest", "linear"):
        for s in ((1, 1, 2, 3), (1, 1, 1.4, 2.6), (1, 1, 0.6, 0.3)):
            case("resize", f"early.{mode}.{s[2]}", node("Resize", ["x", "s"], ["y"], mode=mode), {"s": np.float32(s)}, 10)
            if s[2] > 1:
                case("resize", f"upsample.{mode}.{s[2]}", node("Upsample", ["x"], ["y"], mode=mode, scales=np.float32(s)), None, 7)
                case("resize", f"upsample.{mode}.{s[2]}", node("Upsample", ["x", "s"], ["y"], mode=mode), {"s": np.float32(s)}, 9)
    case("resize", "axes", node("Resize", ["x", "", "", "s"], ["y"], axes=[3, 2]), {"s": i8(7, 4)}, 18)
    # Ties: scales that single precision holds otherwise than double.
    for i, (a, b) in enumerate([(7, 3), (21, 9), (11, 5), (49, 21), (35, 15), (13, 6), (28, 12)]):
        for c, n in [("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"), ("asymmetric", "ceil"), ("align_corners", "round_prefer_ceil")]:
            kw = dict(mode="nearest", coordinate_transformation_mode=c, nearest_mode=n)
            case("ties", f"{c}.{n}.{a}.{b}", node("Resize", ["x", "", "s"], ["y"], **kw), {"s": np.float32([1, 1, a / b, b / a])}, 13, size=(b, a))
            case("ties", f"{c}.{n}.{a}.to{b}", node("Resize", ["x", "", "", "s"], ["y"], **kw), {"s": i8(2, 3, b, a)}, 13, size=(a, b))
    # Almost ties, and a scale that changes nothing.
    for a, s, n in [(21, 0.3, "round_prefer_ceil"), (28, 2.9, "round_prefer_ceil"), (35, 1.3, "round_prefer_floor"), (9, 1.1, "floor")]:
        kw = dict(mode="nearest", coordinate_transformation_mode="asymmetric" if a == 9 else "half_pixel", nearest_mode=n)
        case("ties", f"almost.{a}", node("Resize", ["x", "", "s"], ["y"], **kw), {"s": np.float32([1, 1, 1, s])}, 13, size=(1, a))
    for kw, words in [(dict(antialias=1, mode="linear"), "antialias"), (dict(keep_aspect_ratio_policy="not_larger"), "keep_aspect_ratio_policy"),
                      (dict(coordinate_transformation_mode="tf_crop_and_resize"), "tf_crop_and_resize")]:
        case("resize", words, node("Resize", ["x", "", "", "s"], ["y"], **kw), {"s": i8(2, 3, 4, 4)}, 18, refuse=words)


def windows():
    def conv(name, x, w, opset=17, bias=True, **kw):
        pre = [node("Reshape", ["x", "to"], ["v"])] if x else []
        t = {"w": f4(*w) * 0.5, **({"to": i8(*x)} if x else {}), **({"b": f4(w[0])} if bias else {})}
        case("windows", "Conv." + name, [*pre, node("Conv", ["v" if x else "x", "w"] + (["b"] if bias else []), ["y"], **kw)], t, opset, grad=True)

    for opset in (7, 11, 22):
        conv("plain", None, (4, 3, 3, 3), opset, pads=[1, 1, 1, 1])
    conv("uneven", None, (4, 3, 3, 2), strides=[2, 1], pads=[1, 0, 2, 1])
    conv("dilated", None, (4, 3, 2, 2), dilations=[2, 3], pads=[1, 1, 1, 1])
    conv("groups", None, (6, 1, 3, 3), group=3, pads=[1, 1, 1, 1], strides=[2, 2])
    conv("groups.dilated", None, (6, 1, 2, 2), group=3, dilations=[2, 2])
    for auto in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        conv(auto, None, (4, 3, 4, 3), auto_pad=auto, strides=[2, 2], kernel_shape=[4, 3])
    conv("1d", (2, 3, 30), (4, 3, 5), pads=[2, 2])
    conv("1d.stride", (2, 3, 30), (4, 3, 4), pads=[1, 2], strides=[3], kernel_shape=[4])
    conv("1d.dilated", (2, 6, 15), (4, 3, 3), group=2, dilations=[3], strides=[2], bias=False)
    conv("1d.depthwise", (2, 6, 15), (6, 1, 3), group=6, pads=[1, 1])
    conv("1d.same", (2, 6, 15), (4, 6, 4), auto_pad="SAME_UPPER", strides=[2])
    conv("3d", (2, 3, 5, 3, 2), (4, 3, 3, 2, 1))
    conv("3d.pads", (2, 1, 6, 5, 3), (4, 1, 3, 3, 1), pads=[1, 1, 0, 1, 1, 0])
    conv("3d.stride", (2, 2, 5, 3, 3), (4, 1, 3, 2, 2), group=2, strides=[2, 1, 2], dilations=[2, 1, 1], pads=[2, 0, 1, 1, 1, 0])

    def transposed(name, x, w, bias=True, **kw):
        pre = [node("Reshape", ["x", "to"], ["v"])] if x else []
        cout = w[1] * kw.get("group", 1)
        t = {"w": f4(*w) * 0.5, **({"to": i8(*x)} if x else {}), **({"b": f4(cout)} if bias else {})}
        case("windows", "ConvTranspose." + name, [*pre, node("ConvTranspose", ["v" if x else "x", "w"] + (["b"] if bias else []), ["y"], **kw)], t, 11, grad=True)

    transposed("plain", None, (3, 2, 3, 3))
    transposed("stride", None, (3, 2, 3, 2), strides=[2, 3], pads=[1, 0, 0, 1], output_padding=[1, 2])
    transposed("groups", None, (3, 2, 2, 2), group=3, strides=[2, 2], bias=False)
    transposed("dilated", None, (3, 2, 2, 2), dilations=[2, 1])
    transposed("shape", None, (3, 2, 3, 3), strides=[2, 2], output_shape=[12, 9])
    transposed("upper", None, (3, 2, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER")
    transposed("lower", None, (3, 2, 4, 4), strides=[3, 3], auto_pad="SAME_LOWER")
    transposed("1d", (2, 3, 30), (3, 2, 3), strides=[2], pads=[1, 0])

    def pool(op, name, x=None, opset=17, **kw):
        pre = [node("Reshape", ["x", "to"], ["v"])] if x else []
        case("pools", f"{op}.{name}", [*pre, node(op, ["v" if x else "x"], ["y"], **kw)], {"to": i8(*x)} if x else {}, opset, grad=op != "MaxPool")

    for op, opsets in [("MaxPool", (8, 10, 11, 12, 22)), ("AveragePool", (7, 10, 11, 19, 22))]:
        for opset in opsets:
            pool(op, "plain", None, opset, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])
            if opset >= 10:
                pool(op, "ceil", None, opset, kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1)
                pool(op, "ceil.pads", None, opset, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)
                pool(op, "ceil.far", None, opset, kernel_shape=[2, 2], strides=[3, 3], pads=[0, 1, 1, 1], ceil_mode=1)
        for auto in ("SAME_UPPER", "SAME_LOWER", "VALID"):
            pool(op, auto, None, 12, kernel_shape=[3, 2], strides=[2, 2], auto_pad=auto)
        pool(op, "1d", (2, 3, 30), kernel_shape=[4], strides=[3], pads=[1, 2])
        pool(op, "1d.ceil", (2, 3, 30), kernel_shape=[4], strides=[3], ceil_mode=1)
        pool(op, "3d", (2, 3, 5, 3, 2), kernel_shape=[2, 2, 1])
        pool(op, "3d.pads", (2, 1, 6, 5, 3), kernel_shape=[3, 2, 2], strides=[2, 1, 2], pads=[1, 0, 1, 1, 1, 0])
        pool(op, "3d.ceil", (2, 1, 6, 5, 3), kernel_shape=[3, 2, 2], strides=[2, 2, 2], ceil_mode=1)
    pool("MaxPool", "dilated", None, 12, kernel_shape=[2, 2], dilations=[3, 2])
    pool("MaxPool", "dilated.1d", (2, 3, 30), 12, kernel_shape=[3], dilations=[4], strides=[2])
    pool("AveragePool", "dilated", None, 19, kernel_shape=[2, 3], dilations=[3, 1], pads=[1, 1, 0, 1])
    for opset in (7, 10, 11, 19):
        pool("AveragePool", "counted", None, opset, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)
        if opset > 7:
            pool("AveragePool", "counted.ceil", None, opset, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1, ceil_mode=1)
    for p in (1, 2, 3):
        pool("LpPool", f"p{p}", None, 11, kernel_shape=[2, 3], p=p, strides=[2, 1], pads=[1, 0, 0, 1])
        case("pools", f"GlobalLpPool.{p}", node("GlobalLpPool", ["x"], ["y"], p=p), None, 11, grad=True)
    for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
        for x in ((2, 3, 30), (2, 3, 5, 3, 2)):
            case("pools", f"{op}.{len(x) - 2}d", [node("Reshape", ["x", "to"], ["v"]), node(op, ["v"], ["y"])], {"to": i8(*x)}, 13)
    case("pools", "MaxPool.padsbig", node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], pads=[100] * 4), None, 17, refuse="padding of 100")
    case("pools", "MaxPool.indices", [node("MaxPool", ["x"], ["a", "i"], kernel_shape=[2, 2]), node("Cast", ["i"], ["y"], to=1)], None, 17, refuse="the indices")


def shapes():
    for opset in (7, 11, 13):
        ax = dict(axes=[2]) if opset < 13 else {}
        t = {"two": i8(2)}
        extra = ["two"] if opset == 13 else []
        case("shapes", "Unsqueeze", [node("Unsqueeze", ["x", *extra], ["u"], **ax), node("Squeeze", ["u", *extra], ["y"], **ax)], t, opset)
        case("shapes", "Squeeze.all", [node("Unsqueeze", ["x", *extra], ["u"], **ax), node("Squeeze", ["u"], ["y"])], t, opset)
        case("shapes", "Flatten", node("Flatten", ["x"], ["y"], axis=2 if opset == 7 else -2), t, opset)
        split = dict(split=[1, 2, 2]) if opset < 13 else {}
        names = ["p", "q", "r"]
        case("shapes", "Split", [node("Split", ["x"] + (["s"] if opset == 13 else []), names, axis=3, **split), node("Concat", ["r", "p", "q"], ["y"], axis=3)],
             {"s": i8(1, 2, 2)}, opset)
        case("shapes", "Split.even", [node("Split", ["x"], names, axis=2), node("Concat", ["r", "p", "q"], ["y"], axis=1)], {}, opset)
        case("shapes", "Expand", [node("ReduceMax", ["x"], ["m"], axes=[2]), node("Expand", ["m", "to"], ["y"])], {"to": i8(4, 1)}, max(opset, 8) if opset < 18 else opset)
    case("shapes", "Split.outputs", [node("Split", ["x"], ["p", "q"], axis=3, num_outputs=2), node("Concat", ["q", "p"], ["y"], axis=3)], {}, 18)
    case("shapes", "Slice", node("Slice", ["x"], ["y"], starts=[1, -3], ends=[6, 1000], axes=[2, 3]), None, 7)
    case("shapes", "Slice.first", node("Slice", ["x"], ["y"], starts=[0, 1], ends=[2, 3]), None, 9)
    for opset in (10, 11, 13):
        t = {"s": i8(-1, 4), "e": i8(-100, 0), "a": i8(2, 3), "d": i8(-2, -1)}
        case("shapes", "Slice.back", node("Slice", ["x", "s", "e", "a", "d"], ["y"]), t, opset, grad=True)
        case("shapes", "Slice.step", node("Slice", ["x", "s", "e", "a", "d"], ["y"]), {"s": i8(1), "e": i8(2**62), "a": i8(-2 if opset > 10 else 2), "d": i8(2)}, opset, grad=True)
    for opset in (7, 10):
        case("pads", "constant", node("Pad", ["x"], ["y"], pads=[0, 0, 1, 2, 0, 0, 0, 1], value=0.7), None, opset)
        case("pads", "reflect", node("Pad", ["x"], ["y"], mode="reflect", pads=[0, 0, 1, 2, 0, 0, 3, 1]), None, opset)
        case("pads", "crop", node("Pad", ["x"], ["y"], pads=[0, 0, -1, 2, 0, 0, 1, -1]), None, opset)
    for opset in (11, 13, 18, 19, 21, 23, 24, 25):
        t = {"p": i8(0, 0, 1, 2, 0, 0, 0, 1), "v": np.float32(0.7)}
        case("pads", "constant", node("Pad", ["x", "p", "v"], ["y"]), t, opset)
        for mode in ("reflect", "edge", "wrap") if opset >= 19 else ("reflect", "edge"):
            case("pads", mode, node("Pad", ["x", "p"], ["y"], mode=mode), t, opset, grad=True)
        if opset >= 18:
            case("pads", "axes", node("Pad", ["x", "p", "", "a"], ["y"]), {"p": i8(1, 2, 0, -1), "a": i8(-1, 2)}, opset)
    for opset in (13, 15, 19, 21):
        kw = dict(start=1, end=-1) if opset >= 15 else {}
        case("shapes", "Shape", [node("Shape", ["x"], ["s"], **kw), node("Cast", ["s"], ["f"], to=1), node("ReduceSum", ["f"], ["t"], keepdims=0), node("Mul", ["x", "t"], ["y"])], {}, opset)
    for opset in (7, 13, 14):
        case("shapes", "Reshape", node("Reshape", ["x", "to"], ["y"]), {"to": i8(0, -1, 3, 0)}, opset, size=(6, 3)) if opset != 7 else None
        case("shapes", "Reshape.zero", node("Reshape", ["x", "to"], ["y"]), {"to": i8(0, 0, -1)}, opset)
    for opset in (7, 11, 13):
        case("shapes", "DepthToSpace", [node("SpaceToDepth", ["x"], ["a"], blocksize=2), node("DepthToSpace", ["a"], ["y"], blocksize=2)], {}, opset, size=(4, 6))
    for mode in ("DCR", "CRD"):
        case("shapes", f"DepthToSpace.{mode}", [node("SpaceToDepth", ["x"], ["a"], blocksize=2), node("DepthToSpace", ["a"], ["y"], blocksize=2, mode=mode)], {}, 11, size=(4, 6), grad=True)
    case("shapes", "Tile", node("Tile", ["x", "r"], ["y"]), {"r": i8(1, 2, 1, 3)}, 13, grad=True)
    case("shapes", "Transpose", node("Transpose", ["x"], ["y"], perm=[0, 3, 1, 2]), {}, 13, grad=True)
    for opset in (7, 10, 12, 13):
        drop = ["x"] if opset < 12 else ["x", "r", "off"]
        t = {"r": np.float32(0.5), "off": np.array(False)}
        kw = dict(ratio=0.5) if opset < 12 else {}
        case("shapes", "Dropout", node("Dropout", drop, ["y"], **kw), t, opset)
        case("shapes", "Dropout.mask", [node("Dropout", drop, ["a", "m"], **kw), node("Cast", ["m"], ["f"], to=1), node("Add", ["a", "f"], ["y"])], t, opset)
        if opset >= 12:
            case("shapes", "Dropout.training", node("Dropout", drop, ["y"]), {**t, "off": np.array(True)}, opset, refuse="training_mode")


def gathers():
    for opset in (7, 11, 13):
        case("gathers", "Gather", node("Gather", ["x", "i"], ["y"], axis=2), {"i": np.array([[0, 5], [3, 3]])}, opset, grad=True)
        if opset > 7:
            case("gathers", "Gather.negative", node("Gather", ["x", "i"], ["y"], axis=-1), {"i": i8(-1, -5)}, opset)
            i = rng.integers(-3, 3, (2, 3, 2, 5))
            case("gathers", "GatherElements", node("GatherElements", ["x", "i"], ["y"], axis=2), {"i": i}, opset, grad=True)
            case("gathers", "GatherElements.few", node("GatherElements", ["x", "i"], ["y"], axis=3), {"i": i[:, :2]}, opset, size=(3, 4))
    case("gathers", "GatherND", node("GatherND", ["x", "i"], ["y"]), {"i": np.array([[[0, 1], [1, -1]], [[1, 0], [0, 2]]])}, 11, grad=True)
    for opset in (12, 13):
        case("gathers", "GatherND.batch", node("GatherND", ["x", "i"], ["y"], batch_dims=1), {"i": np.array([[[0, 1], [2, -1]], [[1, 0], [0, 5]]])}, opset, grad=True)
    c = f4(2, 3, 2)
    for opset, kw in [(11, {}), (13, {}), (16, dict(reduction="add")), (16, dict(reduction="mul")), (18, dict(reduction="max")), (18, dict(reduction="min"))]:
        t = {"c": c, "i": np.array([[0, 1], [1, 2]]), "u": f4(2, 2), "e": rng.integers(0, 2, (1, 2, 2)), "v": f4(1, 2, 2)}
        r = kw.get("reduction", "none")
        case("gathers", f"ScatterND.{r}", [node("ScatterND", ["c", "i", "u"], ["s"], **kw), node("ReduceMax", ["s"], ["m"], **({} if opset >= 18 else {}), keepdims=0), node("Reshape", ["s", "flat"], ["r"]),
             node("MatMul", ["x", "r"], ["y"])], {**t, "flat": i8(6, 2)}, opset, size=(5, 6))
        case("gathers", f"ScatterElements.{r}", [node("ScatterElements", ["c", "e", "v"], ["s"], axis=2, **kw), node("Reshape", ["s", "flat"], ["r"]), node("MatMul", ["x", "r"], ["y"])],
             {**t, "flat": i8(6, 2), "e": np.array([[[0, 1], [1, 0]]])}, opset, size=(5, 6))
    case("gathers", "ScatterND.image", [node("Slice", ["x", "z", "o", "a"], ["u"]), node("Reshape", ["u", "to"], ["v"]), node("ScatterND", ["x", "i", "v"], ["y"])],
         {"z": i8(0), "o": i8(1), "a": i8(2), "to": i8(2, 3, 5), "i": np.array([[[0, 0, 4], [0, 1, 2], [0, 2, 1]], [[1, 0, 1], [1, 1, 0], [1, 2, 5]]])}, 16, grad=True)
    case("gathers", "Scatter", [node("Scatter", ["c", "e", "v"], ["s"], axis=2), node("Reshape", ["s", "flat"], ["r"]), node("MatMul", ["x", "r"], ["y"])],
         {"c": c, "e": np.array([[[0, 1], [1, 0]]]), "v": f4(1, 2, 2), "flat": i8(6, 2)}, 9, size=(5, 6))
    case("gathers", "TopK", node("TopK", ["x"], ["y", "i"], k=2), None, 7, size=(4, 6))
    for opset in (10, 11):
        for out in ("y", "i"):
            nodes = [node("TopK", ["x", "k"], ["y" if out == "y" else "v", "i"], axis=2)] + ([] if out == "y" else [node("Cast", ["i"], ["y"], to=1)])
            case("gathers", f"TopK.{out}", nodes, {"k": i8(3)}, opset, grad=out == "y")
    case("gathers", "TopK.smallest", node("TopK", ["x", "k"], ["y", "i"], axis=-1, largest=0), {"k": i8(2)}, 11)
    for op in ("ArgMax", "ArgMin"):
        for opset in (7, 11, 12, 13):
            kw = dict(select_last_index=1) if opset >= 12 else {}
            pre = [node("Mul", ["x", "c"], ["a"]), node("Floor", ["a"], ["b"])]
            case("gathers", op, [*pre, node(op, ["b"], ["y"], axis=2 if opset == 7 else -2, keepdims=0, **kw)], {"c": np.float32([2])}, opset, integers=True)
    for opset in (11, 14):
        for kw in ({}, dict(exclusive=1), dict(reverse=1), dict(exclusive=1, reverse=1)):
            case("gathers", "CumSum" + "".join(kw), node("CumSum", ["x", "a"], ["y"], **kw), {"a": np.array(2)}, opset, grad=True)
        case("gathers", "CumSum.int", [node("CumSum", ["k", "a"], ["s"], exclusive=1, reverse=1), node("Cast", ["s"], ["f"], to=1), node("Mul", ["x", "f"], ["y"])], {"k": np.arange(5, dtype=np.int32), "a": np.array(0)}, opset)
    for opset in (9, 11):
        case("gathers", "OneHot", [node("OneHot", ["i", "d", "v"], ["h"], axis=0 if opset == 9 else -2), node("Cast", ["h"], ["f"], to=1), node("Mul", ["x", "f"], ["y"])],
             {"i": np.array([0, 3, 5, 2, 1 if opset == 9 else -1]), "d": i8(6), "v": np.float32([0.5, 3])}, opset)


def integers():
    kinds = {"int8": T.INT8, "int16": T.INT16, "int32": T.INT32, "int64": T.INT64, "uint8": T.UINT8, "uint16": T.UINT16, "uint32": T.UINT32, "uint64": T.UINT64, "bool": T.BOOL}
    wide = np.array([0, 1, 2, 127, 128, 255, 256, 300, 40000, 70000, -1, -2, -129, 2**31, 2**32 + 5], np.int64)
    for name, kind in kinds.items():
        nodes = [node("Cast", ["k"], ["c"], to=kind), node("Cast", ["c"], ["f"], to=1), node("Add", ["x", "f"], ["y"])]
        case("integers", f"Cast.{name}", nodes, {"k": wide}, 13, size=(2, 15))
        values = np.array([0, 1, 3, 5, 7], name)
        case("integers", f"constant.{name}", [node("Cast", ["k"], ["f"], to=1), node("Add", ["x", "f"], ["y"])], {"k": values}, 13)
        typed = helper.make_tensor("k", kind, [5], [int(v) for v in values])
        case("integers", f"typed.{name}", [node("Constant", [], ["k"], value=typed), node("Cast", ["k"], ["f"], to=1), node("Add", ["x", "f"], ["y"])], {}, 13)
        floats = np.float32([0.7, -0.7, 1.5, 2.9, 100.2])
        if name != "uint64" and not name.startswith("uint"):
            case("integers", f"Cast.float.{name}", [node("Cast", ["k"], ["c"], to=kind), node("Cast", ["c"], ["f"], to=1), node("Add", ["x", "f"], ["y"])], {"k": floats}, 13)
    for name in ("int32", "uint32", "int64", "uint64", "uint8", "int8"):
        high = np.iinfo(name).max
        a, b = np.array([high, high - 1, 3, 100, 7], name), np.array([1, 2, 200 if high > 127 else 100, 100, 2], name)
        for op in ("Add", "Sub", "Mul", "Div"):
            nodes = [node(op, ["a", "b"], ["c"]), node("Cast", ["c"], ["f"], to=1), node("Add", ["x", "f"], ["y"])]
            case("integers", f"{op}.{name}", nodes, {"a": a, "b": b}, 14)
        for fmod in (0, 1):
            nodes = [node("Mod", ["a", "b"], ["c"], fmod=fmod), node("Cast", ["c"], ["f"], to=1), node("Add", ["x", "f"], ["y"])]
            signed = not name.startswith("u")
            case("integers", f"Mod.{fmod}.{name}", nodes, {"a": np.array([7, -7, 7, -7, 5], name) if signed else a, "b": np.array([3, 3, -3, -3, 2], name) if signed else b}, 13)
        for op in ("Less", "Greater", "Equal", "LessOrEqual", "GreaterOrEqual"):
            case("integers", f"{op}.{name}", [node(op, ["a", "b"], ["c"]), node("Cast", ["c"], ["f"], to=1), node("Add", ["x", "f"], ["y"])], {"a": a, "b": a[::-1].copy()}, 16)
        if name.startswith("u"):
            for d in ("LEFT", "RIGHT"):
                case("integers", f"BitShift.{d}.{name}", [node("BitShift", ["a", "s"], ["c"], direction=d), node("Cast", ["c"], ["f"], to=1), node("Add", ["x", "f"], ["y"])],
                     {"a": a, "s": np.array([1, 2, 3, 0, 5], name)}, 11)
        for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
            case("integers", f"{op}.{name}", [node(op, ["a", "b"], ["c"]), node("Cast", ["c"], ["f"], to=1), node("Add", ["x", "f"], ["y"])], {"a": a, "b": b}, 18)
        case("integers", f"BitwiseNot.{name}", [node("BitwiseNot", ["a"], ["c"]), node("Cast", ["c"], ["f"], to=1), node("Add", ["x", "f"], ["y"])], {"a": a}, 18)
        for op in ("Max", "Min"):
            case("integers", f"{op}.{name}", [node(op, ["a", "b"], ["c"]), node("Cast", ["c"], ["f"], to=1), node("Add", ["x", "f"], ["y"])], {"a": a, "b": b}, 13)
    p, q = np.array([True, True, False, False, True]), np.array([True, False, True, False, False])
    for op in ("And", "Or", "Xor", "Equal"):
        case("integers", op, [node(op, ["p", "q"], ["c"]), node("Not", ["c"], ["n"]), node("Cast", ["n"], ["f"], to=1), node("Add", ["x", "f"], ["y"])], {"p": p, "q": q}, 13)
    for fmod in (1,):
        case("integers", "Mod.float", [node("Mod", ["a", "b"], ["c"], fmod=1), node("Add", ["x", "c"], ["y"])], {"a": np.float32([5.3, -5.3, 4.5, -2, 7]), "b": np.float32([2, 2, -1.5, 3, 0.25])}, 13)
    for opset in (9, 13, 16):
        case("integers", "Where", [node("Greater", ["x", "c"], ["m"]), node("Where", ["m", "x", "d"], ["y"])], {"c": np.float32([0.1]), "d": f4(3, 1, 1)}, opset)
    case("integers", "IsInf", [node("Div", ["one", "k"], ["z"]), node("IsInf", ["z"], ["m"], detect_negative=0), node("Cast", ["m"], ["f"], to=1), node("Add", ["x", "f"], ["y"])],
         {"one": np.float32([1]), "k": np.float32([0, -0.0, 1, 2, 0])}, 10)
    case("integers", "IsNaN", [node("Div", ["k", "k"], ["z"]), node("IsNaN", ["z"], ["m"]), node("Cast", ["m"], ["f"], to=1), node("Add", ["x", "f"], ["y"])], {"k": np.float32([0, 1, 0, 2, 3])}, 9)
    case("integers", "CastLike", [node("CastLike", ["k", "like"], ["c"]), node("Cast", ["c"], ["f"], to=1), node("Add", ["x", "f"], ["y"])], {"k": np.float32([0.0, 3, 0.5, 7, -2]), "like": np.array([True])}, 15)
    for opset in (11,):
        case("integers", "Range", [node("Range", ["a", "b", "c"], ["r"]), node("Add", ["x", "r"], ["y"])], {"a": np.float32(0.3), "b": np.float32(-1.2), "c": np.float32(-0.3)}, opset)
        case("integers", "Range.int", [node("Range", ["a", "b", "c"], ["r"]), node("Cast", ["r"], ["f"], to=1), node("Add", ["x", "f"], ["y"])], {"a": np.array(9), "b": np.array(-5), "c": np.array(-3)}, opset)
    for k in (0, 2, -1, 100):
        case("integers", f"EyeLike.{k}", [node("EyeLike", ["m"], ["e"], k=k, dtype=1), node("MatMul", ["x", "e"], ["y"])], {"m": np.zeros((5, 6), np.int32)}, 9)
        case("integers", f"EyeLike.int.{k}", [node("EyeLike", ["m"], ["e"], k=k), node("Cast", ["e"], ["f"], to=1), node("MatMul", ["x", "f"], ["y"])], {"m": np.zeros((5, 6), np.int32)}, 22)
    for upper in (0, 1):
        for k in (0, 1, -2):
            case("integers", f"Trilu.{upper}.{k}", node("Trilu", ["x", "k"], ["y"], upper=upper), {"k": np.array(k)}, 14, grad=True)
    value = helper.make_tensor("v", T.INT8, [1], [5])
    case("integers", "ConstantOfShape", [node("ConstantOfShape", ["s"], ["c"], value=value), node("Cast", ["c"], ["f"], to=1), node("Add", ["x", "f"], ["y"])], {"s": i8(6, 5)}, 9)
    for kw in (dict(value_float=0.5), dict(value_floats=[0.5, 1, 2, 3, 4]), dict(value_int=3), dict(value_ints=[1, 2, 3, 4, 5])):
        case("integers", "Constant." + "".join(kw), [node("Constant", [], ["k"], **kw), node("Cast", ["k"], ["f"], to=1), node("Add", ["x", "f"], ["y"])], {}, 12)


def products():
    for eq, shapes in {
        "nchw,co->nohw": [(3, 4)], "nchw,nchw->nch": [], "...hw,wk->...hk": [(5, 4)], "nchw->nhwc": [], "nchw,c,h->nw": [(3,), (6,)],
        "nchw,hw": [(6, 5)], "nchw,wv,vu->nchu": [(5, 4), (4, 2)], "nchw->n": [], "n c h w , c k -> n k h w": [(3, 2)], "nchw,...hw->n...c": [(2, 4, 6, 5)],
        "nchw,nkhw->nck": [], "...,...->...": [(2, 3, 1, 1)], "nchw,o->nocw": [(4,)],
    }.items():
        names = [f"t{i}" for i in range(len(shapes))]
        count = eq.split("->")[0].count(",") + 1
        inputs = (["x"] + names + ["x"])[:count]
        t = {n: f4(*s) for n, s in zip(names, shapes)}
        case("products", f"Einsum.{eq}", node("Einsum", inputs, ["y"], equation=eq), t, 12, grad=True)
    case("products", "Einsum.diagonal", node("Einsum", ["x"], ["y"], equation="nchh->nch"), {}, 12, size=(5, 5), grad=True)
    case("products", "Einsum.trace", node("Einsum", ["x", "m"], ["y"], equation="nchh,hk->nk"), {"m": f4(5, 2)}, 12, size=(5, 5), grad=True)
    case("products", "Einsum.spread", node("Einsum", ["x", "m"], ["y"], equation="nchw,nkhw->nkch"), {"m": f4(1, 4, 1, 5)}, 12)
    for bad, words in [("nchw,co->nohz", "no tensor has"), ("nchw->nn", "twice"), ("nchw,co", "for 2 tensors"), ("n!hw->n", "are supported")]:
        case("products", f"Einsum.bad.{words.split()[0]}", node("Einsum", ["x"] if "co->" not in bad else ["x", "m"], ["y"], equation=bad), {"m": f4(3, 4)}, 12, refuse=words)
    flat = node("Flatten", ["x"], ["v"])
    for opset in (7, 9, 11, 13):
        case("products", "Gemm", [flat, node("Gemm", ["v", "w", "b"], ["y"], transB=1, alpha=0.5, beta=2.0)], {"w": f4(4, 90), "b": f4(1, 4)}, opset, grad=True)
        if opset >= 11:
            case("products", "Gemm.bare", [flat, node("Gemm", ["v", "w"], ["y"], transB=1)], {"w": f4(4, 90)}, opset)
    case("products", "Gemm.a", [flat, node("Gemm", ["w", "v"], ["z"], transB=1), node("Transpose", ["z"], ["y"])], {"w": f4(4, 90)}, 13)
    case("products", "MatMul.vector", node("MatMul", ["x", "w"], ["y"]), {"w": f4(5)}, 13, grad=True)
    case("products", "MatMul.left", node("MatMul", ["w", "x"], ["y"]), {"w": f4(3, 4, 6)}, 13, grad=True)
    heads = [node("Reshape", ["x", "to"], ["q"])]
    for kw in (dict(), dict(is_causal=1), dict(scale=0.3)):
        case("products", "Attention." + "".join(kw), [*heads, node("Attention", ["q", "q", "v"], ["y"], **kw)], {"to": i8(2, 3, 5, 6), "v": f4(2, 3, 5, 4)}, 23, grad=True)
    case("products", "Attention.flat", [node("Reshape", ["x", "to"], ["q"]), node("Attention", ["q", "k", "k", "m"], ["y"], q_num_heads=6, kv_num_heads=2)],
         {"to": i8(2, 5, 18), "k": f4(2, 4, 6), "m": rng.random((5, 4)) > 0.3}, 23)
    case("products", "Attention.bias", [*heads, node("Attention", ["q", "q", "q", "m"], ["y"])], {"to": i8(2, 3, 5, 6), "m": f4(3, 5, 5)}, 23)


def norms():
    for opset in (7, 8):
        shape = (3, 6, 5)
        t = {k: np.abs(f4(*shape)) + 0.5 for k in ("s", "b", "m", "v")}
        case("norms", "BatchNormalization.places", node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], spatial=0), t, opset, y=(
            (pixels((2, *shape)) - t["m"]) / np.sqrt(t["v"] + 1e-5) * t["s"] + t["b"]).reshape(2, -1) * 1.5)
    t = {k: np.abs(f4(3)) + 0.5 for k in ("s", "b", "m", "v")}
    inputs = ["x", "s", "b", "m", "v"]
    for opset in (7, 9, 14, 15):
        case("norms", "BatchNormalization", node("BatchNormalization", inputs, ["y"]), t, opset, grad=True)
        case("norms", "BatchNormalization.1d", [node("Reshape", ["x", "to"], ["r"]), node("BatchNormalization", ["r", *inputs[1:]], ["y"])], {**t, "to": i8(2, 3, 30)}, opset)
    for opset in (7, 9, 11, 13):
        case("norms", "BatchNormalization.training", node("BatchNormalization", inputs, ["y", "o1", "o2", "o3", "o4"]), t, opset, refuse="training mode, which its outputs tell")
    for opset in (14, 15):
        case("norms", "BatchNormalization.training", node("BatchNormalization", inputs, ["y", "o1", "o2"], training_mode=1), t, opset, refuse="training_mode")
        # Of constants it is computed beforehand: weights that are standardised.
        w = {"w": f4(1, 4, 27) + 0.3, "one": np.ones(4, np.float32), "zero": np.zeros(4, np.float32), "to": i8(4, 3, 3, 3)}
        case("norms", "BatchNormalization.constants", [
            node("BatchNormalization", ["w", "one", "zero", "zero", "one"], ["n", "o1", "o2"], training_mode=1, momentum=0.0), node("Reshape", ["n", "to"], ["k"]), node("Conv", ["x", "k"], ["y"])], w, opset)
    for opset in (9, 13):
        case("norms", "MeanVariance", node("MeanVarianceNormalization", ["x"], ["y"]), {}, opset)
        case("norms", "MeanVariance.axes", node("MeanVarianceNormalization", ["x"], ["y"], axes=[2, 3]), {}, opset, grad=True)
    case("norms", "Instance", node("InstanceNormalization", ["x", "s", "b"], ["y"]), t, 13, grad=True)
    case("norms", "Instance.1d", [node("Reshape", ["x", "to"], ["r"]), node("InstanceNormalization", ["r", "s", "b"], ["y"])], {**t, "to": i8(2, 3, 30)}, 13)
    case("norms", "LRN", node("LRN", ["x"], ["y"], size=3, alpha=0.3, beta=0.6, bias=1.3), {}, 13, grad=True)
    wide = [node("Reshape", ["x", "to"], ["r"])]
    t6 = {"s": f4(6), "b": f4(6), "to": i8(2, 6, 3, 5), "s2": f4(2), "b2": f4(2)}
    case("norms", "Group", [*wide, node("GroupNormalization", ["r", "s2", "b2"], ["y"], num_groups=2)], t6, 18)
    case("norms", "Group", [*wide, node("GroupNormalization", ["r", "s", "b"], ["y"], num_groups=2)], t6, 21, grad=True)
    tl = {"s": f4(5), "b": f4(5), "s3": f4(6, 5), "b3": f4(6, 5)}
    case("norms", "Layer", node("LayerNormalization", ["x", "s", "b"], ["y"]), tl, 17, grad=True)
    case("norms", "Layer.two", node("LayerNormalization", ["x", "s3", "b3"], ["y"], axis=2), tl, 17, grad=True)
    case("norms", "Layer.bare", node("LayerNormalization", ["x", "s"], ["y"], epsilon=1e-2), tl, 17)
    case("norms", "RMS", node("RMSNormalization", ["x", "s"], ["y"]), tl, 23, grad=True)
    for p in (1, 2):
        for axis in (1, -1):
            case("norms", f"Lp.{p}.{axis}", node("LpNormalization", ["x"], ["y"], p=p, axis=axis), {}, 13, grad=p == 2)
    for op in ("Sum", "Mean", "Max", "Min"):
        for opset in (8, 13):
            case("norms", op, node(op, ["x", "a", "b"], ["y"]), {"a": f4(3, 1, 1), "b": f4(5)}, opset)
    for op in ("Add", "Sub", "Mul", "Div"):
        for opset in (7, 13, 14):
            case("norms", op, node(op, ["x", "a"], ["y"]), {"a": f4(1, 3, 6, 1) + 3}, opset, grad=True)


def main():
    for make in (nets, unary, reductions, resize, windows, shapes, gathers, integers, products, norms):
        make()
    for path in HERE.glob("*.safetensors"):
        path.unlink()
    for family, entries in families.items():
        parts, size = [{}], 0
        for name in [k.removesuffix(".model") for k in entries if k.endswith(".model")]:
            own = {k: v for k, v in entries.items() if k.rsplit(".", 1)[0] == name}
            # What the header says of a tensor takes some 80 bytes.
            size += sum(v.nbytes + 80 + len(k) for k, v in own.items())
            if size > LARGEST and not FULL:
                parts.append({})
                size = sum(v.nbytes + 80 + len(k) for k, v in own.items())
            parts[-1].update(own)
        for i, part in enumerate(parts):
            path = HERE / f"{family}-{i}.safetensors"
            names = {k.rsplit(".", 1)[0] for k in part}
            notes = {"smooth": [n for n in smooth.get(family, []) if n in names],
                     "refused": {n: w for n, w in refused.get(family, {}).items() if n in names}}
            save_file(part, path, {k: json.dumps(v) for k, v in notes.items()})
            print(f"{path.name}: {len(names)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
