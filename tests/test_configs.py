"""The program accepts every config in the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from actalker.cli.main import main

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_command_line_takes_it(path, capsys):
    """By itself, or over the config that its first lines name."""
    under = re.search(r"over (configs/\w+\.yaml)|of (configs/\w+\.yaml):", path.read_text())
    below = [] if under is None else ["--config", str(ROOT / (under.group(1) or under.group(2)))]
    assert main(["train", "fit", *below, "--config", str(path), "--print_config"]) == 0
    whole = yaml.safe_load(capsys.readouterr().out)
    written = yaml.safe_load(path.read_text())
    assert whole["model"]["optimizer"]["learning_rate"] == written["model"]["optimizer"]["learning_rate"]
    lower = yaml.safe_load(Path(below[1]).read_text()) if below else written
    wanted = written["data"].get("class_path") or lower["data"]["class_path"]
    assert whole["data"]["class_path"] == wanted


def test_finetuning_starts_from_the_model_that_ships_with_its_settings():
    finetune, shipped = (
        yaml.safe_load((ROOT / f"configs/{name}.yaml").read_text())["model"] for name in ("finetune", "tiny")
    )
    assert finetune["start"] == "tiny" and "model" not in finetune
    assert finetune["objective"] == shipped["objective"]  # the noise that it is sampled from
