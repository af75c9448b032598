"""Training in processes that are spawned: everything it needs goes there as a pickle."""

import pytest
import torch
from training_runs import config, start


@pytest.mark.slow
def test_spawned_processes_train(tmp_path):
    done = start(tmp_path, config(tmp_path, 3), "--trainer.strategy", "ddp_spawn", "--trainer.devices", "2")
    assert done.returncode == 0, done.stderr[-1500:]
    held = torch.load(tmp_path / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)
    assert held["global_step"] == 3


@pytest.mark.slow
def test_lora_trains_the_layers_of_the_scan(tmp_path):
    layers = '["scan.select.0","scan.select.1","scan.step.0","scan.step.1"]'
    tuned = ("--model.tuning.lora_layers", layers, "--model.tuning.lora_rank", "4")
    done = start(tmp_path, config(tmp_path, 4), *tuned, "--model.tuning.train", '["network.control.*mlp*"]')
    assert done.returncode == 0, done.stderr[-1500:]
    held = torch.load(tmp_path / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)
    added = {name: value for name, value in held["state_dict"].items() if "lora_B" in name}
    assert {name.split(".lora_B")[0].split(".")[-2] for name in added} == {"select", "step"}
    assert all(value.any() for value in added.values())
