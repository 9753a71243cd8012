"""Makes goldens.safetensors: logits and input gradients of the public implementations of the zoo's networks.

    pip install torch torchvision timm efficientnet-lite-pytorch numpy safetensors && python make_goldens.py [NAME ...]

Weights and images come from a formula that tests/zoo.rs repeats, so that no weights are committed. The i-th element of
the tensor with key K is scale * u + shift, where u in [-1, 1) is uniform by a hash of K and i:

    h = 64-bit FNV-1a of K's bytes + i * 0x9e3779b97f4a7c15, then the finaliser of SplitMix64, all modulo 2^64
    u = (h >> 40) / 2^23 - 1

Scale and shift: see `rule`; GAIN raises or lowers the normalisations' weights where activations would vanish or grow.
Everything is computed in double precision here, on weights rounded to single precision.

For each network NAME and batches of two images (`image0`, `image1`, `image2`): `NAME.logits [2, 1000]` of the first
batch; with LOSS the mean cross-entropy to classes 3 and 700, `NAME.gradient [3, 512]` is dLOSS/dinput at the elements
i * 7919 modulo their number, and `NAME.gradient_norm [3]` the norm of all of it. Three, since a gradient may hang on
rounding: where an activation all but touches a kink of a ReLU. NAME.train is the same by the batch's statistics,
without dropout and stochastic depth, on the first batch alone; and `NAME.train.running [2, c]` are the running mean and
variance of the first batch normalisation after it.
"""
import sys
from pathlib import Path

import numpy as np
import torch
import torchvision
from safetensors.numpy import load_file, save_file

MASK = (1 << 64) - 1


def uniform(key, count):
    h = 0xCBF29CE484222325
    for byte in key.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    z = np.uint64(h) + np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / (1 << 23) - 1


GAIN = {"resnet101": 0.8, "efficientnet_b0": 1.4}


def fill(key, shape, gain):
    scale, shift = rule(key, shape, gain)
    values = scale * uniform(key, int(np.prod(shape))) + shift
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def rule(key, shape, gain):
    """Scale and shift by the last part of the key and the rank."""
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "running_var":
        return 0.25, 0.5
    if leaf == "layer_scale":
        return 0.2, 0.5
    if len(shape) == 1:
        return (0.2 * gain, 0.6 * gain) if leaf == "weight" else (0.2, 0.0)
    if leaf in ("class_token", "pos_embedding"):
        return 0.5, 0.0
    # A variance of 1.5/fan_in: between what keeps a signal through a ReLU and what keeps it without.
    return float(np.sqrt(4.5 / np.prod(shape[1:]))), 0.0


def networks():
    m = torchvision.models
    names = "resnet18 resnet34 resnet50 resnet101 wide_resnet50_2 resnext50_32x4d vgg16 vgg16_bn densenet121 "
    names += "mobilenet_v2 efficientnet_b0 convnext_tiny vit_b_16"
    made = {name: (lambda name=name: getattr(m, name)()) for name in names.split()}

    def lite():
        from efficientnet_lite_pytorch import EfficientNet

        return EfficientNet.from_name("efficientnet-lite0")

    def mixer():
        import timm

        return timm.create_model("mixer_b16_224")

    return made | {"efficientnet-lite0": lite, "mixer_b16": mixer}


SIZE = {"vit_b_16": 224, "mixer_b16": 224}
TRAIN = ["resnext50_32x4d", "vgg16_bn", "densenet121", "mobilenet_v2", "efficientnet_b0", "efficientnet-lite0"]


def differentiate(net, x):
    x = x.detach().requires_grad_()
    logits = net(x)
    torch.nn.functional.cross_entropy(logits, torch.tensor([3, 700])).backward()
    return logits.detach(), x.grad


def run(name, net, train):
    size = SIZE.get(name, 64)
    shape = (2, 3, size, size)
    net.train(train)
    for module in net.modules():
        if train and type(module).__name__ in ("Dropout", "StochasticDepth"):
            module.eval()
        if train and hasattr(module, "_global_params"):
            module._global_params = module._global_params._replace(drop_connect_rate=0.0)
    first = next((m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)), None)
    logits, picked, norms = [], [], []
    for number in range(1 if train or size == 224 else 3):
        x = torch.from_numpy(2 * uniform(f"image{number}", 6 * size * size)).reshape(shape)
        y, gradient = differentiate(net, x)
        logits.append(y)
        picked.append(gradient.flatten()[np.arange(512) * 7919 % x.numel()])
        norms.append(gradient.norm())
    name = name + ".train" if train else name
    out = {"logits": logits[0], "gradient": torch.stack(picked), "gradient_norm": torch.stack(norms)}
    if train:
        out["running"] = torch.stack([first.running_mean, first.running_var])
    print(f"{name:24} logits' deviation {logits[0].std():.3g}, gradient {norms[0]:.3g}", flush=True)
    return {f"{name}.{key}": value.numpy().astype(np.float32) for key, value in out.items()}


def main():
    torch.set_num_threads(1)
    path = Path(__file__).with_name("goldens.safetensors")
    goldens = load_file(path) if path.exists() and sys.argv[1:] else {}
    for name, make in networks().items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        net = make()
        state = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
        print(f"{name}: {len(state)} tensors", flush=True)
        gain = GAIN.get(name, 1.0)
        net.load_state_dict({k: fill(k, tuple(v.shape), gain) for k, v in state.items()}, strict=False)
        net.double()
        goldens |= run(name, net, False)
        if name in TRAIN:
            goldens |= run(name, net, True)
    save_file(goldens, path)


main()
