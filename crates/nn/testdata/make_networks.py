"""Makes networks.json and the small weight files: what PyTorch and torchvision compute for networks whose weights come
from a formula that the test repeats, so that no weights are committed.

    pip install torch torchvision && python make_networks.py
"""
import json
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision


def fill(shape, key, kind):
    """value[i] = sin(0.7 i + c) with c the sum of the key's bytes, scaled to keep activations of order one."""
    n = math.prod(shape)
    c = sum(key.encode())
    wave = torch.sin(0.7 * torch.arange(n, dtype=torch.float64) + c)
    if kind == "var":
        v = 1 + 0.5 * wave * wave
    elif kind == "scale":
        v = 1 + 0.2 * wave
    elif kind == "shift":
        v = 0.1 * wave
    else:
        v = wave * math.sqrt(2.0 / math.prod(shape[1:]))
    return v.float().reshape(shape)


def kind(key, shape):
    if key.endswith("running_var"):
        return "var"
    if len(shape) == 1:
        return "scale" if key.endswith("weight") else "shift"
    return "weight"


def load(net):
    state = net.state_dict()
    net.load_state_dict({k: v if k.endswith("num_batches_tracked") else fill(tuple(v.shape), k, kind(k, v.shape)) for k, v in state.items()})
    return net


def image(n, h, w):
    i = torch.arange(n * 3 * h * w, dtype=torch.float64)
    return (0.5 + 0.5 * torch.sin(0.37 * i) * torch.cos(0.011 * i)).float().reshape(n, 3, h, w)


class Selective(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv_a, self.conv_b = (nn.Conv2d(i, o, 3, padding=1, bias=False) for _ in "ab")
        self.bn = nn.BatchNorm2d(i)
        self.squeeze = nn.Linear(16 * o, o, bias=False)
        self.attend_a, self.attend_b = nn.Linear(o, 16 * o), nn.Linear(o, 16 * o)

    def forward(self, x):
        a = self.conv_a(F.leaky_relu(self.bn(x), 0.01))
        b = self.conv_b(F.leaky_relu(F.instance_norm(x), 0.01))
        z = F.relu(self.squeeze(F.adaptive_avg_pool2d(a + b, 4).flatten(1)))
        share = torch.softmax(torch.stack([self.attend_a(z), self.attend_b(z)]), 0).reshape(2, *a.shape[:2], 4, 4)
        share = [F.interpolate(s, size=a.shape[2:], mode="nearest") for s in share]
        return a * share[0] + b * share[1]


class SkUnet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 32, 9, padding=4), nn.Conv2d(16, 3, 3, padding=1)
        self.down1, self.down2 = Selective(32, 64), Selective(64, 64)
        self.up1, self.up2 = Selective(128, 32), Selective(64, 16)

    def forward(self, x):
        def join(fine, coarse):
            coarse = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=True)
            dy, dx = fine.shape[2] - coarse.shape[2], fine.shape[3] - coarse.shape[3]
            return torch.cat([fine, F.pad(coarse, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])], 1)

        a = self.stem(x)
        b = self.down1(F.max_pool2d(a, 2))
        c = self.down2(F.max_pool2d(b, 2))
        return x + self.head(self.up2(join(a, self.up1(join(b, c)))))


class Basic(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if y.shape != x.shape:
            gap = (y.shape[1] - x.shape[1]) // 2
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, gap, gap))
        return F.relu(x + y)


class CifarResNet(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        stage = lambda i, o, s: nn.Sequential(*[Basic(i if j == 0 else o, o, s if j == 0 else 1) for j in range(n)])
        self.layer1, self.layer2, self.layer3 = stage(16, 16, 1), stage(16, 32, 2), stage(32, 64, 2)
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


def case(net, x, train):
    net = load(net).train(train)
    x = x.requires_grad_(True)
    y = net(x)
    g = torch.cos(0.3 * torch.arange(y.numel(), dtype=torch.float64)).float().reshape(y.shape)
    (y * g).sum().backward()
    pick = lambda t: [float(v) for v in t.detach().flatten()[:: max(1, t.numel() // 24)][:24]]
    out = {"size": list(x.shape), "train": train, "output": pick(y), "input_grad": pick(x.grad)}
    for name, p in net.named_parameters():
        if name in ("stem.weight", "conv1.weight", "down2.attend_a.weight", "fc.weight", "linear.weight", "up1.bn.weight"):
            out.setdefault("weight_grads", {})[name] = pick(p.grad)
    return out


torch.manual_seed(0)
cases = {
    "skunet": [case(SkUnet(), image(2, 24, 20), False), case(SkUnet(), image(2, 13, 18), True)],
    "cifar-resnet20": [case(CifarResNet(3), image(2, 32, 32), False), case(CifarResNet(3), image(3, 32, 32), True)],
    "resnet18": [case(torchvision.models.resnet18(weights=None, num_classes=100), image(4, 96, 96), True),
                 case(torchvision.models.resnet18(weights=None, num_classes=100), image(1, 75, 64), False)],
    "resnet34": [case(torchvision.models.resnet34(weights=None, num_classes=10), image(1, 64, 64), False)],
    "resnet50": [case(torchvision.models.resnet50(weights=None, num_classes=10), image(1, 64, 64), False)],
}
json.dump(cases, open("networks.json", "w"), indent=0)

small = {"module.fc.weight": torch.arange(6.0).reshape(2, 3), "module.fc.bias": torch.tensor([0.5, -2.0]),
         "module.bn.num_batches_tracked": torch.tensor(7)}
torch.save({"state_dict": small, "epoch": 3}, "small_zip.pth")
torch.save({"state_dict": small, "epoch": 3}, "small_legacy.th", _use_new_zipfile_serialization=False)
torch.save({k: v.half() if v.is_floating_point() else v for k, v in small.items()}, "small_half.pt")
