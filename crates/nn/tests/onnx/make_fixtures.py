"""Makes the ONNX fixtures: small random classifiers, what ONNX Runtime gives for them, and PyTorch's input gradients.

    pip install torch onnx onnxruntime onnxscript safetensors
    python make_fixtures.py

Each `NAME.onnx` has in `expected.safetensors` the logits of the shared images of its size (`NAME.logits`, by ONNX
Runtime) and the gradient of the mean cross-entropy to label i mod classes (`NAME.gradient`, by PyTorch). The models in
`bad` are there to be refused.
"""

import pathlib
import warnings

import numpy as np
import onnx
import onnxruntime as ort
import torch
import torch.nn as nn
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).parent
BATCH, CLASSES = 2, 7
expected = {}


def images(size):
    key = f"images{size}"
    if key not in expected:
        generator = np.random.default_rng(size)
        expected[key] = generator.standard_normal((BATCH, 3, size, size)).astype(np.float32)
    return expected[key]


def randomise(model):
    """Statistics and parameters that are not what they start as."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
        if hasattr(module, "weight") and isinstance(module.weight, nn.Parameter) and module.weight.dim() == 1:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            if getattr(module, "bias", None) is not None:
                nn.init.normal_(module.bias, 0, 0.3)
    return model.eval()


def run(path, x, one_by_one):
    session = ort.InferenceSession(str(path))
    name = session.get_inputs()[0].name
    if one_by_one:
        return np.concatenate([session.run(None, {name: x[i : i + 1]})[0] for i in range(len(x))])
    return session.run(None, {name: x})[0]


def record(name, model, size, one_by_one=False, logits=True, nhwc=False):
    """What is expected of a model that was written."""
    x = images(size)
    fed = x.transpose(0, 2, 3, 1) if nhwc else x
    theirs = run(HERE / f"{name}.onnx", fed, one_by_one)
    leaf = torch.from_numpy(x).requires_grad_()
    ours = model(leaf)
    shown = ours if logits else ours.softmax(1)
    np.testing.assert_allclose(shown.detach().numpy(), theirs, rtol=1e-3, atol=1e-4, err_msg=name)
    labels = torch.arange(len(x)) % ours.shape[1]
    F.cross_entropy(ours, labels).backward()
    expected[f"{name}.logits"] = theirs if logits else ours.detach().numpy()
    expected[f"{name}.gradient"] = leaf.grad.numpy()


def export(name, model, size, opset, batch=None, dynamo=False, dynamic_size=False):
    """Exports a PyTorch model: with a free batch size, or with a fixed one."""
    model = randomise(model)
    x = torch.from_numpy(images(size))[: batch or BATCH]
    path = HERE / f"{name}.onnx"
    if dynamo:
        shapes = None if batch else ({0: torch.export.Dim("n")},)
        torch.onnx.export(
            model, (x,), path, opset_version=opset, dynamo=True, dynamic_shapes=shapes, external_data=False, verbose=False
        )
    else:
        axes = {0: "n", **({2: "h", 3: "w"} if dynamic_size else {})}
        dynamic = None if batch else {"image": axes, "logits": {0: "n"}}
        torch.onnx.export(
            model, (x,), path, opset_version=opset, input_names=["image"], output_names=["logits"],
            dynamic_axes=dynamic, dynamo=False,
        )
    proto = onnx.load(path)
    strip(proto)
    onnx.save(proto, path)
    record(name, model, size, one_by_one=batch == 1)


def strip(proto):
    """Drops what exporters write for people."""
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.graph.value_info[:]


def conv_bn(cin, cout, k, stride=1, pad=0, groups=1, act=None):
    layers = [nn.Conv2d(cin, cout, k, stride, pad, groups=groups, bias=False), nn.BatchNorm2d(cout)]
    return nn.Sequential(*layers, *([act] if act else []))


class Residual(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.body = nn.Sequential(conv_bn(cin, cout, 3, stride, 1, act=nn.ReLU()), conv_bn(cout, cout, 3, 1, 1))
        self.skip = conv_bn(cin, cout, 1, stride) if stride != 1 or cin != cout else nn.Identity()

    def forward(self, x):
        return F.relu(self.body(x) + self.skip(x))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(conv_bn(3, 6, 7, 2, 3, act=nn.ReLU()), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.Sequential(Residual(6, 6, 1), Residual(6, 10, 2))
        self.fc = nn.Linear(10, CLASSES)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class SqueezeExcite(nn.Module):
    def __init__(self, c, gate):
        super().__init__()
        self.down, self.up, self.gate = nn.Conv2d(c, 4, 1), nn.Conv2d(4, c, 1), gate

    def forward(self, x):
        return x * self.gate(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


class Mobile(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv_bn(3, 8, 3, 2, 1, act=nn.ReLU6())
        self.first = nn.Sequential(
            conv_bn(8, 16, 1, act=nn.Hardswish()), conv_bn(16, 16, 3, 1, 1, groups=16, act=nn.Hardswish()),
            SqueezeExcite(16, nn.Hardsigmoid()), conv_bn(16, 8, 1),
        )
        self.second = nn.Sequential(
            conv_bn(8, 12, 1, act=nn.SiLU()), conv_bn(12, 12, 5, 2, 2, groups=12, act=nn.SiLU()),
            SqueezeExcite(12, nn.Sigmoid()), conv_bn(12, 12, 1),
        )
        self.grouped = nn.Sequential(nn.Conv2d(12, 12, 3, 1, 2, dilation=2, groups=3), nn.Conv2d(12, 8, (1, 3), (2, 1), (0, 1)))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(8, CLASSES))

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.grouped(self.second(x + self.first(x))))


class Encoder(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attention = nn.MultiheadAttention(d, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self, d=12, patch=4, size=16):
        super().__init__()
        self.patches = nn.Conv2d(3, d, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, d))
        self.position = nn.Parameter(torch.randn(1, (size // patch) ** 2 + 1, d))
        self.encoder = Encoder(d, 3)
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, CLASSES)

    def forward(self, x):
        n = x.shape[0]
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(n, -1, -1), x], 1) + self.position
        return self.head(self.norm(self.encoder(x))[:, 0])


class Attention(nn.Module):
    """As timm and Swin write it: queries, keys and values are picked from one tensor."""

    def __init__(self, d, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x, bias):
        n, l, d = x.shape
        q, k, v = self.qkv(x).reshape(n, l, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        scores = (q * (d // self.heads) ** -0.5) @ k.transpose(-2, -1) + bias
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(n, l, d))


class Swin(nn.Module):
    def __init__(self, d=8, window=2):
        super().__init__()
        self.window = window
        self.patches = nn.Conv2d(3, d, 4, 4)
        self.attention = Attention(d, 2)
        self.table = nn.Parameter(torch.randn(9, 2))
        self.register_buffer("index", torch.randint(0, 9, (16,)))
        self.merge, self.norm = nn.Linear(4 * d, 2 * d, bias=False), nn.LayerNorm(4 * d)
        self.head = nn.Linear(2 * d, CLASSES)

    def forward(self, x):
        x = self.patches(x).permute(0, 2, 3, 1)
        n, h, w, d = x.shape
        s = self.window
        y = torch.roll(x, (-1, -1), (1, 2)).view(n, h // s, s, w // s, s, d).permute(0, 1, 3, 2, 4, 5)
        bias = self.table[self.index].view(s * s, s * s, 2).permute(2, 0, 1).unsqueeze(0)
        y = self.attention(y.reshape(-1, s * s, d), bias)
        y = y.view(n, h // s, w // s, s, s, d).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, d)
        x = x + torch.roll(y, (1, 1), (1, 2))
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        return self.head(self.merge(self.norm(x)).mean((1, 2)))


class ChannelNorm(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, d, 4, 4), ChannelNorm(d))
        self.depthwise = nn.Conv2d(d, d, 7, 1, 3, groups=d)
        self.mlp = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
        self.scale = nn.Parameter(torch.rand(d, 1, 1))
        self.norm, self.head = ChannelNorm(d), nn.Linear(d, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        y = self.mlp(self.depthwise(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.norm(F.adaptive_avg_pool2d(x + self.scale * y, 1))
        return self.head(x.flatten(1))


class Dense(nn.Module):
    """Normalisation before activation and convolution, features put together: DenseNet."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, 2, 1, bias=False)
        unit = lambda c: nn.Sequential(nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, 4, 3, 1, 1, bias=False))
        self.units = nn.ModuleList([unit(6), unit(10)])
        self.transition = nn.Sequential(nn.BatchNorm2d(14), nn.ReLU(), nn.Conv2d(14, 8, 1, bias=False), nn.AvgPool2d(2, 2))
        self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8, CLASSES)

    def forward(self, x):
        features = [self.stem(x)]
        for unit in self.units:
            features.append(unit(torch.cat(features, 1)))
        x = F.relu(self.norm(self.transition(torch.cat(features, 1))))
        return self.head(F.adaptive_avg_pool2d(x, (1, 1)).flatten(1))


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.group, self.instance = nn.GroupNorm(4, 8), nn.InstanceNorm2d(8, affine=True)
        self.fc1, self.norm, self.fc2 = nn.Linear(8 * 64, 9), nn.BatchNorm1d(9), nn.Linear(9, CLASSES)

    def forward(self, x):
        x = self.instance(torch.tanh(self.group(self.conv(x))))
        return self.fc2(self.norm(self.fc1(x.flatten(1))))


class Activations(nn.Module):
    def __init__(self):
        super().__init__()
        acts = [nn.LeakyReLU(0.2), nn.PReLU(4), nn.ELU(0.7), nn.SELU(), nn.Softplus(), nn.Mish(), nn.GELU(), nn.Softsign(),
                nn.GELU(approximate="tanh"), nn.Hardtanh(-0.5, 0.9), nn.Sigmoid(), nn.Tanh(), nn.LogSigmoid()]
        self.acts = nn.ModuleList(acts)
        self.convs = nn.ModuleList(nn.Conv2d(3, 4, 3, 2, 1) for _ in acts)
        self.head = nn.Linear(4 * len(acts), CLASSES)

    def forward(self, x):
        y = torch.cat([act(conv(x)) for act, conv in zip(self.acts, self.convs)], 1)
        y = torch.sqrt(y.square() + 1) + torch.exp(-y.abs()) + torch.log1p(y**2) + 1 / (2 + y.clamp(min=0))
        return F.log_softmax(self.head(torch.maximum(y, y.mean(1, keepdim=True)).amax((2, 3))), 1)


class Shapes(nn.Module):
    """What moves, cuts and resamples."""

    def __init__(self):
        super().__init__()
        self.conv, self.shuffle = nn.Conv2d(3, 16, 3, 2, 1), nn.PixelShuffle(2)
        self.head = nn.Linear(20, CLASSES)

    def forward(self, x):
        n = x.shape[0]
        a, b, c, d = self.conv(x).chunk(4, 1)
        a = F.interpolate(a, scale_factor=2, mode="nearest")[:, :, 1:-1, ::2]
        b = F.interpolate(b, size=(14, 8), mode="bilinear", align_corners=False)
        c = F.interpolate(c, size=(14, 8), mode="bilinear", align_corners=True)
        d = F.interpolate(d, size=(14, 8), mode="bicubic", align_corners=False)
        y = torch.stack([a, b, c, d], 1).view(n, 4, 4, 14, 8).transpose(1, 2).reshape(n, 16, 14, 8)
        y = F.pad(self.shuffle(y), (1, 2, 0, 1), mode="reflect")
        z = F.pad(F.pixel_unshuffle(x, 2), (2, 9, 9, 12), value=0.5)
        z = z.view(n, 3, 4, 29, 19).transpose(1, 2).reshape(n, 12, 29, 19)
        y = torch.cat([y, z[:, :4],
                       F.pad(x, (2, 1, 1, 12), mode="replicate").repeat(1, 4, 1, 1)], 1)
        y = torch.where(torch.arange(19) % 3 == 0, y, -0.5 * y)
        return self.head(y.flip(2).pow(3).mean((2, 3)) + y.amin((2, 3)))


def pads():
    """Borders as only other frameworks write them; weights in every way a file can hold them."""
    w = [torch.randn(s) * 0.3 for s in [(4, 3, 3, 3), (4, 4, 4, 4), (5, 4, 2, 3), (CLASSES, 5)]]
    half, b = w[3].half(), torch.randn(CLASSES)

    def forward(x):
        x = F.conv2d(F.pad(x, (0, 1, 0, 1)), w[0], stride=2)
        x = F.max_pool2d(x, 3, 2, 1, ceil_mode=True) + F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False)
        x = F.conv2d(F.pad(x, (2, 1, 2, 1)), w[1], stride=1)
        x = F.avg_pool2d(x, (2, 3), (1, 2), (1, 1), count_include_pad=True)
        x = F.max_pool2d(F.pad(x, (0, 1, 1, 0), value=-1e30), (2, 2), 1)
        x = F.local_response_norm(F.conv2d(x, w[2]), 3, alpha=0.1, beta=0.6, k=1.5)
        x = x.flatten(1).softmax(1).view_as(x) * 20  # as Softmax was up to operator set 12
        return x.mean((2, 3)) @ half.float().T * 0.5 + 2 * b

    node = helper.make_node
    nodes = [
        node("Conv", ["image", "w0"], ["a"], auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[3, 3]),
        node("MaxPool", ["a"], ["b"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1),
        node("AveragePool", ["a"], ["c"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1),
        node("Sum", ["b", "c"], ["d"]),
        node("Conv", ["d", "w1"], ["e"], auto_pad="SAME_LOWER", kernel_shape=[4, 4]),
        node("AveragePool", ["e"], ["f"], kernel_shape=[2, 3], strides=[1, 2], pads=[1, 1, 1, 1], count_include_pad=1),
        node("MaxPool", ["f"], ["g"], kernel_shape=[2, 2], pads=[1, 0, 0, 1]),
        node("Conv", ["g", "w2"], ["h"], auto_pad="VALID"),
        node("LRN", ["h"], ["h2"], size=3, alpha=0.1, beta=0.6, bias=1.5),
        node("Softmax", ["h2"], ["h3"]),
        node("Mul", ["h3", "twenty"], ["h4"]),
        node("GlobalAveragePool", ["h4"], ["i"]),
        node("Flatten", ["i"], ["j"]),
        node("Cast", ["w3"], ["w3f"], to=TensorProto.FLOAT),
        node("Gemm", ["j", "w3f", "bias"], ["logits"], transB=1, alpha=0.5, beta=2.0),
    ]
    tensors = [
        helper.make_tensor("w0", TensorProto.FLOAT, w[0].shape, w[0].flatten().tolist()),
        helper.make_tensor("w1", TensorProto.FLOAT, w[1].shape, w[1].numpy().tobytes(), raw=True),
        numpy_helper.from_array(w[2].numpy(), "w2"),
        helper.make_tensor("w3", TensorProto.FLOAT16, w[3].shape, half.flatten().tolist()),
        helper.make_tensor("bias", TensorProto.FLOAT, [CLASSES], b.tolist()),
        helper.make_tensor("twenty", TensorProto.FLOAT, [], [20.0]),
    ]
    save("pads", nodes, tensors, ["n", 3, 16, 16], 11)
    record("pads", forward, 16)


def save(name, nodes, tensors, shape, opset, classes=CLASSES, **settings):
    inputs = [helper.make_tensor_value_info("image", settings.pop("kind", TensorProto.FLOAT), shape)]
    inputs += settings.pop("inputs", [])
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes])]
    graph = helper.make_graph(nodes, name, inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", opset)] + settings.pop("opsets", [])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="make_fixtures")
    helper.set_model_props(model, {"task": "fixture"})
    onnx.save(model, HERE / f"{name}.onnx", **settings)


def nhwc():
    """As TensorFlow's converters write: NHWC in, a softmax at the end, weights in a file of their own."""
    w, fc = torch.randn(6, 3, 3, 3) * 0.4, torch.randn(6, CLASSES) * 0.5
    node = helper.make_node
    nodes = [
        node("Transpose", ["image"], ["x"], perm=[0, 3, 1, 2]),
        node("Pad", ["x", "pads"], ["a"]),
        node("Conv", ["a", "w"], ["b"], strides=[2, 2]),
        node("Relu", ["b"], ["c"]),
        node("Transpose", ["c"], ["d"], perm=[0, 2, 3, 1]),
        node("ReduceMean", ["d"], ["e"], axes=[1, 2], keepdims=0),
        node("MatMul", ["e", "fc"], ["f"]),
        node("Softmax", ["f"], ["logits"]),
    ]
    tensors = [numpy_helper.from_array(w.numpy(), "w"), numpy_helper.from_array(fc.numpy(), "fc"),
               numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 0, 1, 1]), "pads")]
    (HERE / "nhwc.data").unlink(missing_ok=True)
    save("nhwc", nodes, tensors, ["n", 16, 16, 3], 12,
         save_as_external_data=True, location="nhwc.data", size_threshold=100, convert_attribute=False)
    forward = lambda x: F.relu(F.conv2d(F.pad(x, (0, 1, 0, 1)), w, stride=2)).mean((2, 3)) @ fc
    record("nhwc", forward, 16, logits=False, nhwc=True)


def mixing():
    """A graph for two images that looks at both: it can't be run on more at once."""
    node = helper.make_node
    nodes = [
        node("GlobalMaxPool", ["image"], ["a"]),
        node("ReduceMax", ["a"], ["b"], axes=[0]),
        node("Add", ["a", "b"], ["c"]),
        node("Flatten", ["c"], ["d"]),
        node("MatMul", ["d", "fc"], ["logits"]),
    ]
    save("mixing", nodes, [numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(3, 2), "fc")], [2, 3, 8, 8], 13, 2)


def bad():
    """Files to be refused."""
    (HERE / "bad").mkdir(exist_ok=True)
    node = helper.make_node
    fc = numpy_helper.from_array(np.ones((3, CLASSES), np.float32), "fc")
    pool = node("GlobalAveragePool", ["x"], ["p"])
    end = [pool, node("Flatten", ["p"], ["f"]), node("MatMul", ["f", "fc"], ["logits"])]
    image = ["n", 3, 8, 8]
    take = lambda *nodes: [*nodes, *end]

    branch = helper.make_graph([node("Identity", ["image"], ["y"])], "branch", [],
                               [helper.make_tensor_value_info("y", TensorProto.FLOAT, image)])
    save("bad/unsupported", take(
        node("NonMaxSuppression", ["image"], ["a"], name="first"), node("GridSample", ["image", "a"], ["b"], name="second"),
        node("GridSample", ["b", "a"], ["c"], name="third"), node("Frobnicate", ["c"], ["d"], domain="com.example"),
        node("MaxPool", ["d"], ["x"], kernel_shape=[2, 2, 2, 2], name="fourth")),
        [fc], image, 17, opsets=[helper.make_opsetid("com.example", 1)])
    save("bad/control_flow", take(node("If", ["yes"], ["x"], then_branch=branch, else_branch=branch, name="choice")),
         [fc, helper.make_tensor("yes", TensorProto.BOOL, [], [True])], image, 17)
    save("bad/quantised", take(
        node("QuantizeLinear", ["image", "scale", "zero"], ["q"]), node("DequantizeLinear", ["q", "scale", "zero"], ["x"])),
        [fc, helper.make_tensor("scale", TensorProto.FLOAT, [], [0.1]), helper.make_tensor("zero", TensorProto.UINT8, [], [0])],
        image, 17)
    save("bad/opset", take(node("Relu", ["image"], ["x"])), [fc], image, 6)
    other = helper.make_tensor_value_info("mask", TensorProto.FLOAT, image)
    save("bad/two_inputs", take(node("Mul", ["image", "mask"], ["x"])), [fc], image, 17, inputs=[other])
    save("bad/rank", [node("MatMul", ["image", "fc"], ["logits"])], [fc], ["n", 3], 17)
    save("bad/channels", take(node("Relu", ["image"], ["x"])), [fc], ["n", 4, 8, 8], 17)
    save("bytes_in", take(node("Cast", ["image"], ["x"], to=1)), [fc], image, 17, kind=TensorProto.UINT8)
    save("bad/order", take(node("Relu", ["later"], ["x"])), [fc], image, 17)
    save("bad/no_scores", [node("Relu", ["image"], ["logits"])], [], image, 17)
    wrong = numpy_helper.from_array(np.ones((5, CLASSES), np.float32), "fc")
    save("bad/shapes", take(node("Relu", ["image"], ["x"])), [wrong], image, 17)
    short = helper.make_tensor("fc", TensorProto.FLOAT, [3, CLASSES], fc.raw_data, raw=True)
    short.raw_data = short.raw_data[:-4]
    save("bad/short_weights", take(node("Relu", ["image"], ["x"])), [short], image, 17)
    for name, location in [("outside", "../resnet.onnx"), ("missing_data", "nowhere.data")]:
        away = helper.make_tensor("fc", TensorProto.FLOAT, [3, CLASSES], fc.raw_data, raw=True)
        away.ClearField("raw_data")
        away.data_location = TensorProto.EXTERNAL
        away.external_data.add(key="location", value=location)
        save(f"bad/{name}", take(node("Relu", ["image"], ["x"])), [away], image, 17)


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    export("resnet", ResNet(), 24, 13, dynamic_size=True)
    export("mobile", Mobile(), 24, 14)
    export("mobile_old", Mobile(), 24, 11)
    export("vit", ViT(), 16, 14)
    export("vit_single", ViT(), 16, 17, batch=1)
    export("vit_dynamo", ViT(), 16, 20, dynamo=True)
    export("swin", Swin(), 16, 17)
    export("swin_single", Swin(), 16, 16, batch=1)
    export("convnext", ConvNeXt(), 16, 17)
    export("convnext_dynamo", ConvNeXt(), 16, 18, dynamo=True)
    export("dense", Dense(), 16, 12)
    export("norms", Norms(), 16, 17)
    export("norms_dynamo", Norms(), 16, 21, dynamo=True)
    export("activations", Activations(), 16, 18)
    export("activations_dynamo", Activations(), 16, 20, dynamo=True)
    export("shapes", Shapes(), 16, 16)
    pads()
    nhwc()
    mixing()
    bad()
    save_file(expected, HERE / "expected.safetensors")


if __name__ == "__main__":
    main()
