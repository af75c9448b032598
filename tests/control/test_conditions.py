"""Conditions cut and joined along their axes, whatever is said in them."""

from dataclasses import fields

import torch

from actalker.control.conditions import Conditions, batch, chain, widen_regions
from actalker.control.scanning import Scanning

B, F = 3, 5


def everything() -> Conditions:
    """Something in every field; each tensor's numbers count its clips and frames."""
    clip, frame = torch.arange(B), torch.arange(F)
    both = (10.0 * clip[:, None] + frame)[..., None, None]  # (b, f, 1, 1)
    alone = 10.0 * clip[:, None, None]  # (b, 1, 1)
    return Conditions(
        tokens={"beat": both.clone(), "wink": both.expand(-1, -1, 2, 3)},
        regions={"beat": both.expand(-1, -1, 4, 6), "wink": both},
        gates={"beat": both[..., 0, 0], "wink": both[..., 0, 0] / 100},
        identity=alone.expand(-1, 2, 3),
        references={"portrait": alone[..., None].expand(-1, 4, 2, 2)},
        maps={"hands": both.expand(-1, -1, 4, 6)},
        scalars={"fps": alone[:, 0, 0]},
        null={"beat": torch.full((1, 1), 7.0)},
        scanning=Scanning(0.5, torch.Generator()),
    )


def tensors(conditions: Conditions) -> dict[str, torch.Tensor]:
    """Every tensor by its path."""
    out = {}
    for part in fields(conditions):
        value = getattr(conditions, part.name)
        if isinstance(value, dict):
            out |= {f"{part.name}.{name}": tensor for name, tensor in value.items()}
        elif isinstance(value, torch.Tensor):
            out[part.name] = value
    return out


def test_every_tensor_is_cut_along_the_axes_that_it_has():
    whole = tensors(everything())
    timed = {name for name in whole if name.split(".")[0] in ("tokens", "regions", "gates", "maps")}
    assert len(whole) == 11 and len(timed) == 7
    for name, tensor in tensors(everything().frames(1, 4)).items():
        assert torch.equal(tensor, whole[name][:, 1:4] if name in timed else whole[name]), name
    for name, tensor in tensors(everything().item(2)).items():
        assert torch.equal(tensor, whole[name] if name == "null.beat" else whole[name][2:3]), name
    for name, tensor in tensors(everything().to(torch.float64)).items():
        assert tensor.dtype == torch.float64, name


def test_what_is_cut_joins_to_the_whole():
    one = everything()
    whole = tensors(one)
    pieces = [
        chain([one.frames(0, 2), one.frames(2, 3), one.frames(3, F)]),
        batch([one.item(k) for k in range(B)]),
    ]
    for joined in pieces:
        assert joined.scanning is one.scanning and joined.length == F
        for name, tensor in tensors(joined).items():
            assert torch.equal(tensor, whole[name]), name


def test_a_signal_open_alone_gets_the_face():
    face, mouth = torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    gates = {"audio": torch.ones(2, 3), "text": torch.tensor([[0.0] * 3, [0.2] * 3])}
    got = widen_regions({"audio": mouth, "text": mouth}, gates, face)
    assert torch.equal(got["audio"], torch.stack([face[0], mouth[1]])) and torch.equal(got["text"], mouth)
