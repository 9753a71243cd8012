"""Classifiers of several forms behind an enhancer: see README.md."""
import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def net(last, opset, fixed=None):
    """A small convolutional classifier; fixed: batch, height and width."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((8, 3, 3, 3)), "b": rng.standard_normal(8), "fc": rng.standard_normal((8, 5))}
    n, h, w = fixed or ("n", "h", "w")
    nodes = [helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2])] if last else []
    nodes += [
        helper.make_node("Conv", ["planes" if last else "image", "w", "b"], ["c"], pads=[1] * 4, kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "fc"], ["scores"]),
    ]
    shape = [n, h, w, 3] if last else [n, 3, h, w]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [n, 5])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dyntta", required=True, help="the command, built")
    parser.add_argument("--run", required=True, help="the folder of a trained run")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        fed = folder / "fed.json"
        fed.write_text('{"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}')
        for last, opset, fixed in [(False, 18, None), (True, 17, None), (False, 21, (2, 40, 33)), (True, 20, None)]:
            onnx.save(net(last, opset, fixed), folder / "net.onnx")
            export = [args.dyntta, "export", "--enhancer", args.run, "--out"]
            subprocess.run([*export, folder / "whole.onnx", "--classifier", folder / "net.onnx", "--preprocessing", fed,
                            "--outputs", "scores,enhanced"], check=True, stdout=subprocess.DEVNULL)
            onnx.checker.check_model(str(folder / "whole.onnx"), full_check=True)
            whole, alone = session(folder / "whole.onnx"), session(folder / "net.onnx")
            image = np.random.default_rng(1).random((2, 3, 40, 33), np.float32)
            scores, enhanced = whole.run(["scores", "enhanced"], {"image": image})
            x = (enhanced - MEAN[:, None, None]) / STD[:, None, None]
            (expected,) = alone.run(None, {"image": x.transpose(0, 2, 3, 1) if last else x})
            apart = np.abs(scores - expected).max()
            assert scores.shape == (2, 5) and apart < 1e-5, apart
            print(f"last {last}, operator set {opset}, fixed {fixed}: {apart:.1e}")


if __name__ == "__main__":
    main()
