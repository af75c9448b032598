"""Every config in the tree is one that the program takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from actalker.cli.main import main

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_command_line_takes_it(path, capsys):
    below = path.parent.with_suffix(".yaml")  # a stage of another config goes over it
    words = [str(part) for each in (below, path) if each.is_file() for part in ("--config", each)]
    assert main(["train", "fit", *words, "--print_config"]) == 0
    whole = yaml.safe_load(capsys.readouterr().out)
    given = yaml.safe_load(path.read_text())
    assert whole["model"]["optimizer"]["learning_rate"] == given["model"]["optimizer"]["learning_rate"]
    assert whole["data"]["class_path"] == given["data"].get("class_path", whole["data"]["class_path"])


def test_finetuning_starts_from_the_model_that_ships_with_its_settings():
    given = yaml.safe_load((ROOT / "configs/finetune.yaml").read_text())["model"]
    assert given["start"] == "tiny" and "model" not in given
