"""Makes the ONNX fixtures of the tests of training: classifiers of three classes for images of 16 pixels a side.

    pip install numpy onnx
    python make.py

`cast.onnx` rounds its images to bytes, through which no gradient comes. `fixed.onnx` takes batches of two only. The
scores of `overflow.onnx` are infinite for bright images.
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
generator = np.random.default_rng(0)


def weights(name, *shape):
    return numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32), name)


def write(name, batch, nodes, initializers):
    graph = helper.make_graph(
        [helper.make_node(*node[:3], **node[3]) for node in nodes],
        name,
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, 16, 16])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 3])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, HERE / f"{name}.onnx")


head = [
    ("GlobalAveragePool", ["features"], ["means"], {}),
    ("Flatten", ["means"], ["rows"], {}),
    ("Gemm", ["rows", "w", "b"], ["scores"], {}),
]
write(
    "cast",
    "n",
    [
        ("Cast", ["images"], ["bytes"], {"to": TensorProto.UINT8}),
        ("Cast", ["bytes"], ["features"], {"to": TensorProto.FLOAT}),
        *head,
    ],
    [weights("w", 3, 3), weights("b", 3)],
)
write(
    "overflow",
    "n",
    [
        ("GlobalAveragePool", ["images"], ["means"], {}),
        ("Flatten", ["means"], ["rows"], {}),
        ("Mul", ["rows", "factor"], ["large"], {}),
        ("Exp", ["large"], ["scores"], {}),
    ],
    [numpy_helper.from_array(np.float32(120), "factor")],
)
write(
    "fixed",
    2,
    [("Conv", ["images", "kernel"], ["features"], {"pads": [1, 1, 1, 1]}), *head],
    [weights("kernel", 4, 3, 3, 3), weights("w", 4, 3), weights("b", 3)],
)
