"""Frozen parts and LoRA: what is trained, what is not, and what an export takes in."""

from __future__ import annotations

import copy

import pytest
import torch
from models import small_model

from actalker.errors import InputError
from actalker.training.tuning import TuningConfig, merged, tune


def trained(model) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_patterns_freeze_and_keep():
    model = small_model()
    names = {name for name, _ in model.named_parameters()}
    tune(model, TuningConfig(freeze=("network.*", "encoders.text.*"), train=("network.control.*",)))
    expected = {
        name
        for name in names
        if not name.startswith(("network.", "encoders.text.")) or name.startswith("network.control.")
    }
    assert trained(model) == expected and expected != names


def test_lora_starts_exact_trains_alone_and_is_taken_in_as_peft_does():
    """Merged weights against peft's own merge, layer by layer."""
    model = small_model().double()
    before = copy.deepcopy(model.state_dict())
    config = TuningConfig(lora_rank=3, lora_alpha=7.0, train=("encoders.audio.null",))
    tune(model, config)
    assert trained(model) == {n for n, _ in model.named_parameters() if ".lora_" in n} | {
        "encoders.audio.null"
    }
    start = merged(model.state_dict(), config)
    assert set(start) == set(before)
    for name, value in before.items():
        assert torch.allclose(start[name], value, atol=1e-7), "an addition begins as zero"
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    ours = merged(model.state_dict(), config)
    layers = {name: part for name, part in model.named_modules() if hasattr(part, "merge")}
    assert layers
    for name, layer in layers.items():
        layer.merge()
        weight = layer.get_base_layer().weight
        assert torch.allclose(ours[f"{name}.weight"], weight, atol=1e-5), name
        assert not torch.allclose(before[f"{name}.weight"], weight, atol=1e-2)
    small_model().double().load_state_dict(ours)


@pytest.mark.parametrize(
    "config, says",
    [
        (TuningConfig(freeze=("nothing.*",)), "'nothing.*' names no weight"),
        (TuningConfig(freeze=("*",)), "freezes every weight"),
        (TuningConfig(lora_rank=2, lora_layers=("to_nowhere",)), "lora_layers"),
    ],
)
def test_settings_that_train_nothing_are_refused(config, says):
    with pytest.raises(InputError, match="model.tuning") as caught:
        tune(small_model(), config)
    assert says in str(caught.value)
