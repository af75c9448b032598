"""LPIPS (Zhang et al. 2018, version 0.1): how different two pictures look to a network.

The feature stack is our own and reads the published weights by their names, so that torchvision, whose
packages need CUDA, does not have to be there.

Letters: n pictures, h w their size, c channels of a layer.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..weights import fill, read_tensors, undrawn
from .clip import Clip, Unmeasurable
from .form import same_form
from .metric import Weights

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
VGG = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)
VGG_TAPS, ALEX_TAPS = (3, 8, 15, 22, 29), (1, 4, 7, 9, 11)  # the ReLUs whose outputs are compared
BATCH, SMALLEST = 8, 33  # pictures at once; pixels that all five layers need


def _vgg() -> nn.Sequential:
    layers: list[nn.Module] = []
    before = 3
    for width in VGG:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
            before = width
    return nn.Sequential(*layers)


def _alex() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
    )


class LPIPS(nn.Module):
    """Squared differences of unit features at five layers, weighted by channel, averaged over the picture.

    kind: `vgg` or `alex`. `features.*` has the names of torchvision's networks, `lins` those of LPIPS' own.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.features = {"vgg": _vgg, "alex": _alex}[kind]()
        self.taps = {"vgg": VGG_TAPS, "alex": ALEX_TAPS}[kind]
        widths = {"vgg": (64, 128, 256, 512, 512), "alex": (64, 192, 384, 256, 256)}[kind]
        self.lins = nn.ModuleList([nn.Conv2d(c, 1, 1, bias=False) for c in widths])

    def layers(self, pictures: Tensor) -> list[Tensor]:
        """Unit features (n, c, h', w') of pictures (n, 3, h, w) in [-1, 1]."""
        shift, scale = (pictures.new_tensor(values)[:, None, None] for values in (SHIFT, SCALE))
        out, x = [], (pictures - shift) / scale
        for k, layer in enumerate(self.features):
            x = layer(x)
            if k in self.taps:
                out.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return out

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Distances (n,)."""
        both = zip(self.layers(one), self.layers(other), self.lins, strict=True)
        return torch.stack([lin((a - b).square()).mean((1, 2, 3)) for a, b, lin in both]).sum(0)


@lru_cache(maxsize=1)
def lpips_net(backbone: Path, lins: Path) -> LPIPS:
    """The network of two files: torchvision's vgg16 or alexnet, and LPIPS' own vgg.pth or alex.pth.

    Raises: InputError for files that hold other weights.
    """
    first, second = read_tensors(backbone), read_tensors(lins)
    stem = first.get("features.0.weight")
    kinds: dict[tuple[int, ...], str] = {(64, 3, 3, 3): "vgg", (64, 3, 11, 11): "alex"}
    kind = None if stem is None else kinds.get(tuple(stem.shape))
    if kind is None:
        raise InputError(
            f"{backbone}: is neither vgg16 nor alexnet; give torchvision's weights of one of them"
        )
    net = undrawn(partial(LPIPS, kind))
    try:
        stack = {k.removeprefix("features."): v for k, v in first.items() if k.startswith("features.")}
        fill(net.features, stack, backbone)
        fill(net.lins, {f"{k}.weight": second[f"lin{k}.model.1.weight"] for k in range(5)}, lins)
    except (RuntimeError, KeyError) as error:
        words = " ".join(str(error).split())[:100]
        raise InputError(
            f"{lins}: holds no weights of LPIPS for {kind} ({words}); give its {kind}.pth"
        ) from None
    return net.eval().requires_grad_(False)


@torch.no_grad()
def lpips(generated: Clip, reference: Clip | None, weights: Weights) -> float:
    """LPIPS of a clip to its reference, mean over frames.

    Raises: Unmeasurable for pictures that are too small for the network.
    """
    assert weights.backbone is not None and weights.lpips is not None
    one, other = (torch.from_numpy(x).permute(0, 3, 1, 2) for x in same_form(generated, reference))
    if min(one.shape[2:]) < SMALLEST:
        raise Unmeasurable(f"pictures are smaller than {SMALLEST} pixels")
    net = lpips_net(weights.backbone, weights.lpips)
    blocks = zip(one.split(BATCH), other.split(BATCH), strict=True)
    return float(torch.cat([net(a / 127.5 - 1, b / 127.5 - 1) for a, b in blocks]).mean())
