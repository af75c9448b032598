"""Networks that begin with the folder of diffusers' plain UNet: nothing is empty, and they are that UNet."""

import logging
import warnings

import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel
from models import SMALL, small_model, some_conditions
from safetensors.torch import load_file, save_file

from actalker.backbones import ControlUNet, ReleasedUNet
from actalker.errors import InputError

BRANCH = {"expand": 0.5, "state_size": 4}
OWN = {"token_width": 64, "branch": BRANCH}
BASE = {k: v for k, v in SMALL["denoiser_args"].items() if k not in OWN}
PARTS = (
    *("conv_in", "time_proj", "time_embedding", "add_time_proj", "add_embedding", "down_blocks", "mid_block"),
    *("up_blocks", "conv_norm_out", "conv_act", "conv_out", "control", "guider"),
)
ON_DISK = {part: "disk" if part in ("control", "down_blocks") else "cpu" for part in PARTS}


@pytest.fixture(autouse=True)
def _quiet():
    """diffusers names what begins fresh; here all of it is meant to."""
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        yield
    logging.getLogger("diffusers").setLevel(logging.WARNING)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder, with a variant and shards beside it, and what the UNet in it gives for `call`."""
    torch.manual_seed(3)
    unet = UNetSpatioTemporalConditionModel(**BASE).eval()
    folder = tmp_path_factory.mktemp("base")
    unet.save_pretrained(folder / "unet")
    unet.save_pretrained(folder / "fp16", variant="fp16")
    unet.save_pretrained(folder / "shards", max_shard_size="300KB")
    x, t, told = call()
    joined = torch.cat([x, told.reference[:, None].expand(-1, 4, -1, -1, -1)], 2)
    with torch.no_grad():
        return folder, unet(joined, t, told.identity, torch.stack([*told.scalars.values()], 1)).sample


def call(dtype=torch.float32):
    x = torch.randn(1, 4, 192, 8, 8, generator=torch.Generator().manual_seed(1))
    return x.to(dtype), torch.zeros(1), some_conditions(small_model())


@pytest.mark.parametrize(
    "place, options",
    [
        ("unet", {}),
        ("unet", {"low_cpu_mem_usage": False}),
        ("unet", {"torch_dtype": torch.bfloat16}),
        pytest.param(
            *("unet", {"torch_dtype": torch.float16, "low_cpu_mem_usage": False}), marks=pytest.mark.slow
        ),
        ("unet", {"device_map": "cpu"}),
        pytest.param(*("unet", {"device_map": ON_DISK}), marks=pytest.mark.slow),
        pytest.param(*("", {"subfolder": "unet"}), marks=pytest.mark.slow),
        pytest.param(*("fp16", {"variant": "fp16"}), marks=pytest.mark.slow),
        ("shards", {}),
        pytest.param(*("shards", {"low_cpu_mem_usage": False}), marks=pytest.mark.slow),
        ("unet", {"adapters": True}),
        ("unet", {"branch": {**BRANCH, "gated": True}}),
        pytest.param(
            *("unet", {"branch": {**BRANCH, "form": "ssd", "head_size": 16, "conv": 4}}),
            marks=pytest.mark.slow,
        ),
        pytest.param(*("unet", {"branch": {**BRANCH, "form": "attention"}}), marks=pytest.mark.slow),
    ],
)
def test_it_begins_as_the_base(base, place, options, tmp_path):
    folder, expected = base
    more = {"offload_folder": tmp_path} if options.get("device_map") is ON_DISK else {}
    network = ControlUNet.from_pretrained(folder / place, **{**OWN, **options}, **more)
    dtype = options.get("torch_dtype", torch.float32)
    if not more:
        for name, weight in network.named_parameters():
            assert weight.isfinite().all() and weight.dtype == dtype and weight.requires_grad, name
    with torch.no_grad():
        found = network(*call(dtype)).sample.float()
    limit = {torch.float32: 1e-5, torch.float16: 0.01, torch.bfloat16: 0.05}[dtype]
    assert (found - expected).abs().max() < limit
    assert not network.training


def test_what_is_new_is_drawn_with_the_seed_and_as_in_a_new_network(base):
    folder, _ = base
    one, two = (ControlUNet.from_pretrained(folder / "unet", **OWN).state_dict() for _ in range(2))
    torch.manual_seed(1)
    other = ControlUNet.from_pretrained(folder / "unet", **OWN).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["control.0.mlp.0.weight"], other["control.0.mlp.0.weight"])
    new = ControlUNet(**BASE, **OWN).state_dict()
    for name in (name for name in one if name.startswith(("control.", "guider."))):
        spread, usual = one[name].std(), new[name].std()
        assert one[name].mean() == pytest.approx(new[name].mean().item(), abs=0.3), name
        assert (spread == 0) == (usual == 0) and (usual == 0 or 0.5 < spread / usual < 2), name
    assert not one["control.0.mlp.2.weight"].any() and not one["guider.conv_out.weight"].any()


def test_a_signal_more_begins_beside_trained_ones(base, tmp_path):
    folder, expected = base
    trained = ControlUNet.from_pretrained(folder / "unet", **OWN)
    trained.save_pretrained(tmp_path)
    wider = ControlUNet.from_pretrained(tmp_path, signals=("audio", "expression", "text", "body"))
    weights = wider.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in trained.state_dict().items())
    assert all(value.isfinite().all() for value in weights.values())
    with torch.no_grad():
        torch.testing.assert_close(wider(*call()).sample, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("low", [True, False])
def test_the_releases_network_begins_with_its_signals_attending_as_the_identity(base, low):
    folder, _ = base
    one, two = (
        ReleasedUNet.from_pretrained(folder / "unet", guider_blocks=(8, 16, 16, 16), low_cpu_mem_usage=low)
        for _ in range(2)
    )
    assert all(
        torch.equal(a, b) and a.isfinite().all()
        for a, b in zip(one.parameters(), two.parameters(), strict=True)
    )
    held = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    name = "mid_block.attentions.0.transformer_blocks.0.attn2"
    weights = one.state_dict()
    for side in "kv":
        assert torch.equal(weights[f"{name}.to_{side}.weight"], held[f"{name}.to_{side}.weight"])
        assert torch.equal(
            weights[f"{name}.processor.to_{side}_ip.1.weight"], held[f"{name}.to_{side}.weight"]
        )


@pytest.mark.parametrize("low", [True, False])
def test_a_base_that_is_not_whole_is_refused(base, low, tmp_path):
    folder, _ = base
    ControlUNet.from_pretrained(folder / "unet", **OWN).save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    held = load_file(file)
    del held["conv_in.weight"]
    save_file(held, file, metadata={"format": "pt"})
    with pytest.raises(
        InputError, match=r"1 weights of the base network are missing \(first: conv_in.weight\)"
    ):
        ControlUNet.from_pretrained(tmp_path, low_cpu_mem_usage=low)
