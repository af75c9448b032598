"""Every config in the tree is one that the program takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from actalker.cli.main import main

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_command_line_takes_it(path, capsys):
    assert main(["train", "fit", "--config", str(path), "--print_config"]) == 0
    whole = yaml.safe_load(capsys.readouterr().out)
    given = yaml.safe_load(path.read_text())
    assert whole["model"]["optimizer"]["learning_rate"] == given["model"]["optimizer"]["learning_rate"]
    assert whole["data"]["class_path"] == given["data"]["class_path"]


def test_finetuning_starts_from_the_model_that_ships():
    given = yaml.safe_load((ROOT / "configs/finetune.yaml").read_text())["model"]
    shipped = json.loads((ROOT / "actalker/models/tiny/config.json").read_text())
    for name, value in given["model"].items():
        if name not in ("denoiser_args", "sampling", "precondition"):
            assert shipped[name] == value, name
            continue
        for key, own in value.items():
            assert shipped[name][key] == own, (name, key)
