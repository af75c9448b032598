"""The release's face networks: transformers' ResNet with other norms, a loop by weight names, file names."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actalker.errors import InputError
from actalker.signals.resnet import ExpressionNet, IdentityNet, PoseNet
from actalker.weights import load_frozen


def scrambled(network: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and statistics that are all different from where they start."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, value in network.state_dict().items():
        noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        if value.ndim > 1:
            state[name] = noise / value[0].numel() ** 0.5
        elif name.endswith("running_var"):
            state[name] = noise.abs() + 0.5
        elif value.is_floating_point():
            state[name] = value.double() + 0.2 * noise
        else:
            state[name] = value
    network.load_state_dict(state)
    return network.double().eval()


def hugging_face(kind: str, depths: list[int], widths: list[int], groups: int) -> nn.Module:
    """transformers' ResNet with group norms in the place of its batch norms."""
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(embedding_size=64, hidden_sizes=widths, depths=depths, layer_type=kind)
    network = ResNetModel(config)
    for part in list(network.modules()):
        for name, child in part.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(part, name, nn.GroupNorm(groups, child.num_features))
    return network.double().eval()


def in_order(network: nn.Module, stems: tuple[str, ...]) -> list[torch.Tensor]:
    """Weights in the order of use: of a block the shortcut first, as transformers lists them."""
    names = [name for name in network.state_dict() if not name.startswith("fc")]

    def place(name: str) -> tuple:
        stage, _, rest = name.partition(".")
        if not stage.startswith("layer"):
            return ("", 0, 0, names.index(name))
        block, _, inner = rest.partition(".")
        return (stage, int(block), 0 if inner.startswith(stems) else 1, names.index(name))

    return [network.state_dict()[name] for name in sorted(names, key=place)]


@pytest.mark.parametrize("kind", ["expression", "pose"])
def test_the_group_normed_networks_are_transformers_with_other_norms(kind):
    if kind == "expression":
        ours = scrambled(ExpressionNet())
        theirs = hugging_face("bottleneck", [3, 4, 6, 3], [256, 512, 1024, 2048], 1)
    else:
        ours, theirs = scrambled(PoseNet()), hugging_face("basic", [2, 2, 2, 2], [64, 128, 256, 512], 32)
    values = in_order(ours, ("downsample", "shortcut"))
    names = list(theirs.state_dict())
    assert [v.shape for v in values] == [theirs.state_dict()[n].shape for n in names]
    theirs.load_state_dict(dict(zip(names, values, strict=True)))
    faces = torch.rand(2, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        pooled = theirs(faces).pooler_output.flatten(1)
        expected = F.linear(pooled, ours.fc.weight, ours.fc.bias)
        if kind == "pose":
            share = 1 / (1 + torch.exp(-expected))
            expected = torch.cat([share[:, :3] * 360 - 180, share[:, 3:] * 4 - 2], dim=1)
        torch.testing.assert_close(ours(faces), expected, rtol=1e-9, atol=1e-9)


def test_the_identity_network_is_insightfaces_by_its_weights_names():
    """A loop over names, each block as the published description has it."""
    ours = scrambled(IdentityNet(depths=(2, 1, 3, 1)))
    w = ours.state_dict()

    def bn(x, name):
        axes = (1, -1) + (1,) * (x.ndim - 2)
        mean, var = w[f"{name}.running_mean"].view(axes), w[f"{name}.running_var"].view(axes)
        scale, shift = w[f"{name}.weight"].view(axes), w[f"{name}.bias"].view(axes)
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    def prelu(x, name):
        return torch.where(x > 0, x, x * w[f"{name}.weight"].view(1, -1, 1, 1))

    heads = torch.rand(2, 3, 112, 112, dtype=torch.float64) * 2 - 1
    x = prelu(bn(F.conv2d(heads, w["conv1.weight"], padding=1), "bn1"), "prelu")
    for stage, depth in enumerate((2, 1, 3, 1), 1):
        for block in range(depth):
            at, stride = f"layer{stage}.{block}", 1 if block else 2
            y = F.conv2d(bn(x, f"{at}.bn1"), w[f"{at}.conv1.weight"], padding=1)
            y = F.conv2d(prelu(bn(y, f"{at}.bn2"), f"{at}.prelu"), w[f"{at}.conv2.weight"], None, stride, 1)
            y = bn(y, f"{at}.bn3")
            if f"{at}.downsample.0.weight" in w:
                x = bn(F.conv2d(x, w[f"{at}.downsample.0.weight"], stride=stride), f"{at}.downsample.1")
            x = x + y
    flat = F.linear(bn(x, "bn2").flatten(1), w["fc.weight"], w["fc.bias"])
    expected = bn(flat, "features")
    with torch.no_grad():
        got = ours(heads)
    torch.testing.assert_close(got, expected / expected.norm(dim=1, keepdim=True), rtol=1e-9, atol=1e-9)


def test_networks_have_the_sizes_that_are_published():
    def count(network):
        return sum(p.numel() for p in network.parameters())

    with torch.device("meta"):
        assert round(count(IdentityNet()) / 1e6, 2) == 43.59  # insightface's r50
        # ImageNet's ResNet-50 and 18 without their last layers, and with these
        assert count(ExpressionNet()) == 25_557_032 - (2048 * 1000 + 1000) + 2048 * 512 + 512
        assert count(PoseNet()) == 11_689_512 - (512 * 1000 + 1000) + 512 * 6 + 6


def test_poses_stay_in_their_ranges():
    network = scrambled(PoseNet(stem=3), 3)
    with torch.no_grad():
        network.fc.weight *= 1e4
        pose = network(torch.rand(4, 3, 32, 32, dtype=torch.float64) * 2 - 1)
    assert pose[:, :3].abs().max() <= 180 and pose[:, 3:].abs().max() <= 2


def test_weights_that_do_not_fit_are_named():
    weights = dict(scrambled(PoseNet(), 3).float().state_dict())
    network = load_frozen(PoseNet, weights, "pose.pt")
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    assert not any(p.requires_grad for p in network.parameters()) and not network.training
    missing = {k: v for k, v in weights.items() if k != "fc.bias"}
    for changed in (missing, {**weights, "fc.bias": torch.zeros(7)}, {**weights, "extra": torch.zeros(1)}):
        with pytest.raises(InputError, match="pose.pt: 1 weights .* (fc.bias|extra)"):
            load_frozen(PoseNet, changed, "pose.pt")
