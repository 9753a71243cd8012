"""Holds exported networks against ONNX Runtime (logits) and PyTorch (input gradients).

    pip install torch torchvision timm onnx onnxruntime onnxscript
    cargo build --release --workspace --example onnx_peer
    python export_and_compare.py [--peer PROGRAM] [--out TABLE.md] [--only NAME,…] [--set published|refused|more]

Every network has random weights (seed 0) and batch-norm statistics that are not what they start as, and is exported by both
exporters of PyTorch with a batch of two images. A network counts as the same if the classes agree, the logits to 1e-3 of the
largest and the gradient of the mean cross-entropy to label i mod classes to 1e-2 of its largest; where it is refused, the
table has the reason. Where float32 itself doesn't have the gradient to 1e-2 (a deep network of random weights, whose ReLUs
are near their kinks), float64 judges: ours may be no farther from it than twice what PyTorch's float32 is.
"""

import argparse
import gc
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")
os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = pathlib.Path(__file__).resolve().parents[4]

PUBLISHED = """mobilenetv3_large_100 efficientnet_b0 convnextv2_tiny swin_tiny_patch4_window7_224 deit_tiny_patch16_224 regnety_004
mobilevit_s maxvit_nano_rw_256 eva02_tiny_patch14_224 ghostnet_100 repvgg_a0 fastvit_t8 tf_efficientnetv2_b0 resnetv2_50x1_bit
edgenext_small coat_tiny"""
REFUSED = """tv:maxvit_t samvit_base_patch16_224 ecaresnet26t eca_botnext26ts_256 nextvit_small lambda_resnet26t sequencer2d_s
nf_regnet_b0 nf_resnet26 xcit_tiny_12_p16_224 vit_small_patch16_dinov3 edgenext_xx_small bat_resnext26ts"""
MORE = """tv:resnext50_32x4d seresnet50 tv:densenet121 tv:inception_v3 tv:googlenet tv:squeezenet1_1 tv:shufflenet_v2_x1_0
tv:mnasnet1_0 tv:vgg11 tf_efficientnet_b2 regnetx_002 convnext_atto swinv2_tiny_window8_256 poolformer_s12 mixer_s32_224
gmlp_s16_224 resmlp_12_224 crossvit_tiny_240 pit_ti_224 levit_128s tnt_s_legacy_patch16_224 twins_svt_small visformer_tiny
volo_d1_224 hrnet_w18_small dla34 dpn68 res2net50_26w_4s resnest14d skresnet18 cspresnet50 hardcorenas_a mobilevitv2_050
efficientformer_l1 focalnet_tiny_srf davit_tiny mvitv2_tiny pvt_v2_b0 tinynet_e"""
SETS = {"published": PUBLISHED, "refused": REFUSED, "more": MORE}


class Timeout(Exception):
    pass


def limited(seconds, f):
    """`f()`, given up after a time."""
    def stop(*_):
        raise Timeout(f"took over {seconds} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        return f()
    finally:
        signal.alarm(0)


def build(name):
    import torch

    torch.manual_seed(0)
    if name.startswith("tv:"):
        import torchvision

        kind = name[3:]
        extra = {"aux_logits": False, "init_weights": False} if kind in ("inception_v3", "googlenet") else {}
        model = getattr(torchvision.models, kind)(weights=None, **extra)
        size = 299 if kind == "inception_v3" else 224
    else:
        import timm

        model = timm.create_model(name, pretrained=False)
        size = model.pretrained_cfg.get("input_size", (3, 224, 224))[-1]
    for module in model.modules():
        if getattr(module, "running_mean", None) is not None:
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.8, 1.2)
    return model.eval(), size


def export(model, x, path, dynamo):
    import torch

    torch.onnx.export(model, (x,), str(path), opset_version=18 if dynamo else 17, dynamo=dynamo,
                      **({"external_data": False, "verbose": False} if dynamo else {}))


def compare(model, x, path, peer, folder):
    """What the table says of one file."""
    import onnxruntime as ort
    import torch
    import torch.nn.functional as F

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options)
    theirs = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    del session

    def slopes(model, x):
        leaf = x.clone().requires_grad_()
        scores = model(leaf)
        F.cross_entropy(scores, torch.arange(len(x)) % scores.shape[1]).backward()
        return leaf.grad.numpy()

    def apart(a, b):
        return np.abs(a - b).max() / max(np.abs(b).max(), 1e-12)

    gradient = slopes(model, x)
    np.save(folder / "x.npy", x.numpy())
    start = time.time()
    run = subprocess.run([peer, str(path), str(folder / "x.npy"), str(folder / "out")], capture_output=True, text=True, timeout=600)
    if run.returncode:
        return "refused", run.stderr.strip().removeprefix("Error: ").replace("\\n", " ")[:400]
    ours = np.fromfile(folder / "out.logits.f32", np.float32).reshape(theirs.shape)
    own = np.fromfile(folder / "out.gradient.f32", np.float32).reshape(gradient.shape)
    logit = np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-6)
    slope, bound, note = apart(own, gradient), 1e-2, ""
    seconds = time.time() - start
    if slope >= bound:
        exact = slopes(model.double(), x.double())
        slope, theirs32 = apart(own, exact), apart(gradient, exact)
        bound = max(bound, 2 * theirs32)
        note = f" from float64 (PyTorch's float32: {theirs32:.1e})"
    same = logit < 1e-3 and slope <= bound and (ours.argmax(1) == theirs.argmax(1)).all()
    return ("same" if same else "DIFFERENT"), f"logits {logit:.1e}, gradient {slope:.1e}{note}, {seconds:.0f} s"


def main():
    import torch

    arguments = argparse.ArgumentParser()
    arguments.add_argument("--peer", default=str(ROOT / "target/release/examples/onnx_peer"))
    arguments.add_argument("--out", default="onnx_peer.md")
    arguments.add_argument("--only")
    arguments.add_argument("--set", choices=SETS)
    arguments.add_argument("--limit", type=int, default=180, help="seconds that an export may take")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    chosen = SETS[given.set] if given.set else " ".join(SETS.values())
    names = given.only.split(",") if given.only else chosen.split()
    with open(given.out, "a") as table, tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        print("| network | exporter | result | |\n|---|---|---|---|", file=table, flush=True)
        for name in names:
            for dynamo in (False, True):
                path = folder / "net.onnx"
                try:
                    model, size = build(name)
                    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
                    limited(given.limit, lambda: export(model, x, path, dynamo))
                    model, _ = build(name)
                    result = limited(600, lambda: compare(model, x, path, given.peer, folder))
                except Exception as error:
                    result = "not exported", f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
                exporter = "dynamo" if dynamo else "TorchScript"
                print(f"| {name} | {exporter} | {result[0]} | {result[1]} |", file=table, flush=True)
                gc.collect()


if __name__ == "__main__":
    main()
