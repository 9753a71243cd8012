"""Makes timm/NAME.json: logits of timm's networks whose keys are not ours, with their keys and shapes.

    pip install torch timm numpy && python make_timm_goldens.py

Weights and images come from the formula of make_goldens.py, by timm's keys, so that no weights are committed. For each
network: its tensors `[key, shape]` (counters aside) in the order of the state dict, and for each size of the image
`image0` (one image) the logits of a network of ten classes, computed in double precision.
"""
import json
from pathlib import Path

import timm
import torch

HERE = Path(__file__).parent
source = (HERE / "make_goldens.py").read_text().replace("\nmain()\n", "\n").replace("import torchvision\n", "")
goldens = {}
exec(compile(source, "make_goldens.py", "exec"), goldens)

NETWORKS = {
    "mobilenetv2_100": [64],
    "efficientnet_b0": [64, 75],
    "tf_efficientnet_b0": [64, 75],
    "tf_efficientnet_lite0": [75],
    "convnext_tiny": [64],
    "vit_base_patch16_224": [224],
    "vgg16": [64, 230, 260],
    "vgg16_bn": [64],
}

(HERE / "timm").mkdir(exist_ok=True)
torch.set_num_threads(1)
for name, sizes in NETWORKS.items():
    net = timm.create_model(name, num_classes=10).eval()
    state = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    gain = 1.4 if "efficientnet_b0" in name else 1.0
    net.load_state_dict({k: goldens["fill"](k, tuple(v.shape), gain) for k, v in state.items()}, strict=False)
    net.double()
    logits = {}
    for size in sizes:
        x = torch.from_numpy(2 * goldens["uniform"]("image0", 3 * size * size)).reshape(1, 3, size, size)
        with torch.no_grad():
            y = net(x)[0]
        logits[str(size)] = [float(f"{v:.7g}") for v in y]
        print(f"{name} {size}: deviation {y.std():.3g}", flush=True)
    out = {"tensors": [[k, list(v.shape)] for k, v in state.items()], "logits": logits}
    text = json.dumps(out, separators=(",", ":"))
    (HERE / "timm" / f"{name}.json").write_text(text.replace('],["', '],\n["') + "\n")
