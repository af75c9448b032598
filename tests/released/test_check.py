"""The released network: against the release's own outputs, and its parts against slow, plain ones."""

from __future__ import annotations

import json
import math

import pytest
import torch
from diffusers.image_processor import IPAdapterMaskProcessor
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from actalker.backbones.attach import cross_attentions
from actalker.backbones.guider import ReleasedGuider
from actalker.backbones.released import ADAPTER_SCALE, ReleasedUNet
from actalker.cli.main import main
from actalker.control.attention import DecoupledAttention
from actalker.control.conditions import Conditions
from actalker.control.pass_ import Pass
from actalker.control.released import ReleasedControl
from actalker.regions.grid import to_grid_bicubic
from actalker.released.check import check_released
from actalker.signals.released import AudioProjection, IdentityProjection, MotionProjection

FILE = "parity/released_unet_tiny.safetensors"


@pytest.mark.parity
def test_all_four_modes_give_the_released_outputs(shared, capsys):
    assert main(["check-released", str(shared / FILE)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["joint", "audio_only", "motion_only", "released_ones"]
    assert all(float(line.split()[1]) < 1e-5 for line in lines)
    assert main(["check-released", str(shared / FILE), "--tolerance", "1e-12"]) == 1


@pytest.mark.parity
@pytest.mark.parametrize(
    "change, code, says",
    [
        (lambda t: t["unet.conv_in.weight"].mul_(1.01), 1, ""),
        (lambda t: t["unet.up_blocks.1.attentions.1.mamba_blocks.0.exp_unit.A_logs"].add_(0.1), 1, ""),
        (lambda t: t["adapter_module.5.to_k_ip.0.weight"].mul_(1.5), 1, ""),
        (lambda t: t.pop("unet.conv_in.bias"), 2, "the first is conv_in.bias"),
        (lambda t: t.pop("adapter_module.7.to_v_ip.1.weight"), 2, "mid_block.attentions.0"),
        (lambda t: t.update({"unet.extra": torch.zeros(1)}), 2, "have no place, the first is extra"),
        (lambda t: t.update({"unet.conv_in.bias": torch.zeros(3)}), 2, "conv_in.bias is (3,), not (32,)"),
        (lambda t: t.pop("input.aud"), 2, "holds no input.aud"),
        (lambda t: t.update({"input.x": torch.zeros(1, 3, 5, 16, 16)}), 2, "do not fit"),
        (lambda t: [t.pop(k) for k in list(t) if k.startswith("output.")], 2, "holds no output"),
    ],
)
def test_a_changed_weight_is_seen_and_a_broken_file_refused(shared, tmp_path, capsys, change, code, says):
    tensors = load_file(shared / FILE)
    with safe_open(shared / FILE, "pt") as file:
        meta = file.metadata()
    change(tensors)
    save_file(tensors, tmp_path / "a.safetensors", meta)
    assert main(["check-released", str(tmp_path / "a.safetensors")]) == code
    assert says in capsys.readouterr().err


@pytest.mark.parity
def test_weights_inside_the_network_count_before_the_adapters_own(shared, tmp_path):
    """A network saved with its adapters installed holds them under its own names."""
    tensors = load_file(shared / FILE)
    with safe_open(shared / FILE, "pt") as file:
        meta = file.metadata()
    network = ReleasedUNet(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(meta["unet_config"]).items()}
    )
    names = {id(part): name for name, part in network.named_modules()}
    for k, (attention, _) in enumerate(cross_attentions(network)):
        for own in attention.processor.state_dict():
            tensors[f"unet.{names[id(attention)]}.processor.{own}"] = tensors.pop(f"adapter_module.{k}.{own}")
    save_file(tensors, tmp_path / "a.safetensors", meta)
    assert all(found.error < 1e-5 for found in check_released(tmp_path / "a.safetensors"))


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\xff" * 64])
def test_what_is_no_file_of_weights_is_refused(tmp_path, capsys, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    assert main(["check-released", str(tmp_path / "a.safetensors")]) == 2
    save_file({"a": torch.zeros(1)}, tmp_path / "b.safetensors")
    assert main(["check-released", str(tmp_path / "b.safetensors")]) == 2
    assert "unet_config" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parity
def test_the_small_modules_give_the_released_outputs(shared):
    held = load_file(shared / "parity/released_adapters_tiny.safetensors")
    modules = {
        "audio_linear": AudioProjection(channels=8, hidden=16, tokens=6, width=32),
        "id_proj": IdentityProjection(16, 24, 32),
        "vasa_linear": MotionProjection(16, 26),
        "pose_guider": ReleasedGuider(32, (4, 8, 8, 16)),
    }
    for name, module in modules.items():
        weights = {k.removeprefix(f"{name}."): v for k, v in held.items() if k.startswith(f"{name}.")}
        if name == "pose_guider":  # as many blocks as the file has
            sizes = [weights["conv_in.weight"].shape[0]]
            sizes += [weights[f"blocks.{k}.weight"].shape[0] for k in (1, 3, 5)]
            module = ReleasedGuider(weights["conv_out.weight"].shape[0], tuple(sizes))
        module.load_state_dict(weights)
        made, truth = module(held[f"input.{name}"]), held[f"output.{name}"]
        assert (made - truth).abs().max() <= 1e-5 * truth.abs().max(), name


def slow_layer(layer: ReleasedControl, z, tokens, identity, kept, gates):
    """The layer as loops over frames, directions and steps, in float64."""
    layer = layer.double()
    frames = []
    for k in range(len(z)):
        both = 0
        for proj, cond, unit, signal in (
            (layer.in_proj1, layer.audio_proj, layer.audio_unit, "audio"),
            (layer.in_proj2, layer.exp_proj, layer.exp_unit, "expression"),
        ):
            own = proj(z[k])
            chosen = [t for t in range(len(own)) if kept[signal][k, t]]
            ends = torch.cat([F.silu(layer.id_proj(identity[k])), F.silu(cond(tokens[signal][k]))])
            steps = torch.cat([own[chosen], ends])
            total = torch.zeros_like(steps)
            width = steps.shape[1]
            for direction in (0, 1):
                order = range(len(steps)) if direction == 0 else range(len(steps) - 1, -1, -1)
                state = torch.zeros(width, 16, dtype=torch.float64)
                A = -torch.exp(unit.A_logs[direction * width : (direction + 1) * width])
                D = unit.Ds[direction * width : (direction + 1) * width]
                for t in order:
                    x = unit.x_proj_weight[direction] @ steps[t]
                    rank, B, C = x[: unit.rank], x[unit.rank : unit.rank + 16], x[unit.rank + 16 :]
                    raw = unit.dt_projs_weight[direction] @ rank + unit.dt_projs_bias[direction]
                    delta = torch.log1p(torch.exp(raw))
                    state = torch.exp(delta[:, None] * A) * state + (delta * steps[t])[:, None] * B
                    total[t] += state @ C + D * steps[t]
            new = own.clone()
            new[chosen] = own[chosen] + gates[signal][k] * (total[: len(chosen)] - own[chosen])
            both = both + new
        frames.append(layer.out_proj(layer.out_norm(both)))
    return torch.stack(frames)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 9), st.integers(1, 4), st.sampled_from([1, 3, 17]), st.integers(0, 999)
)
def test_the_layer_is_that_of_the_loops(k, t, n, c, seed):
    """Masks that differ from frame to frame, empty ones too; widths that no vector divides."""
    torch.manual_seed(seed)
    layer = ReleasedControl(c, 5)
    z, identity = torch.randn(k, t, c), torch.randn(k, 1, 5)
    tokens = {"audio": torch.randn(k, n, 5), "expression": torch.randn(k, 1, 5)}
    kept = {s: torch.rand(k, t) < share for s, share in (("audio", 0.6), ("expression", 0.3))}
    gates = {s: torch.tensor([1.0, 0.3, 0.7])[:k] for s in kept}
    made = layer(z, tokens, identity, kept, gates)
    with torch.no_grad():
        slow = slow_layer(
            layer, z.double(), {s: v.double() for s, v in tokens.items()}, identity.double(), kept, gates
        )
    assert torch.allclose(made.double(), slow, atol=1e-4, rtol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 8))
@example(7, 8, 2)  # 16 tokens whose grid would have 3 rows
@pytest.mark.filterwarnings("ignore:The aspect ratio of the mask")
def test_masks_shrink_as_diffusers_shrinks_them(rows, columns, scale):
    """Also where a level's size is rounded: compared with the class that the released code calls."""
    mask = (torch.rand(2, 1, rows * 8, columns * 8) < 0.5).float()
    h, w = math.ceil(rows / scale), math.ceil(columns / scale)
    made = to_grid_bicubic(mask, h * w)
    assert made.shape == (2, 1, h * w)
    for b in range(2):
        try:
            expected = IPAdapterMaskProcessor.downsample(mask[b], 1, h * w, 1)[..., 0]
        except (RuntimeError, ZeroDivisionError):  # it finds grids without a row or a column
            assume(False)
        assert torch.allclose(made[b], expected)


def test_attention_in_time_is_that_of_every_place_by_itself():
    """Against diffusers' own attention, a sequence for each place, with the contexts repeated."""
    from diffusers.models.attention_processor import Attention, AttnProcessor

    torch.manual_seed(0)
    b, f, t, c, d = 2, 3, 5, 8, 6
    attention = Attention(c, cross_attention_dim=d, heads=2, dim_head=4)
    tokens = {"audio": torch.randn(b, f, 4, d), "expression": torch.randn(b, f, 1, d)}
    gates = {s: torch.rand(b, f) for s in tokens}
    identity = torch.randn(b, f, 2, d)
    pass_ = Pass(Conditions(tokens, {}, gates, identity[:, 0]), identity)
    ours = DecoupledAttention(c, d, False, lambda: pass_, tuple(tokens), ADAPTER_SCALE)
    x = torch.randn(b * t, f, c)
    made = ours(attention, x)

    def alone(k, v, states):
        one = Attention(c, cross_attention_dim=d, heads=2, dim_head=4, processor=AttnProcessor())
        one.load_state_dict({**attention.state_dict(), "to_k.weight": k, "to_v.weight": v})
        one.to_out[0].weight.data, one.to_out[0].bias.data = torch.eye(c), torch.zeros(c)
        return one(x, states.mean(1).repeat_interleave(t, 0))

    total = alone(attention.to_k.weight, attention.to_v.weight, identity)
    for k, signal in enumerate(("audio", "expression")):
        added = alone(ours.to_k_ip[k].weight, ours.to_v_ip[k].weight, tokens[signal])
        total = total + ADAPTER_SCALE * gates[signal].repeat_interleave(t, 0)[..., None] * added
    assert torch.allclose(made, attention.to_out[0](total), atol=1e-5)


def test_at_full_size_every_released_weight_has_its_place():
    with torch.device("meta"):
        network = ReleasedUNet()
    keys = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    layers = {name.rsplit(".mamba_blocks", 1)[0] for name in keys if ".mamba_blocks." in name}
    assert len(layers) == 15 == len(network.control_sites()) and not any(
        "mid_block" in name for name in layers
    )
    first = "down_blocks.0.attentions.0.mamba_blocks.0"
    shapes = {
        "audio_proj.weight": (640, 1024),
        "exp_proj.weight": (640, 1024),
        "id_proj.weight": (640, 1024),
        "in_proj1.weight": (640, 320),
        "in_proj2.weight": (640, 320),
        "audio_unit.x_proj_weight": (2, 52, 640),
        "audio_unit.dt_projs_weight": (2, 640, 20),
        "audio_unit.dt_projs_bias": (2, 640),
        "audio_unit.A_logs": (1280, 16),
        "audio_unit.Ds": (1280,),
        "out_norm.weight": (640,),
        "out_proj.weight": (320, 640),
    }
    assert {name: keys[f"{first}.{name}"] for name in shapes} == shapes
    assert len(cross_attentions(network)) == 32
    plain = sum(
        p.numel() for n, p in network.named_parameters() if "mamba_blocks" not in n and "_ip." not in n
    )
    assert plain == 1_524_623_082, "SVD's own parameters"
