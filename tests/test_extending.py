"""The examples of docs/extending.md run as they are printed there."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from models import SMALL, some_conditions

from actalker.backbones import DENOISERS
from actalker.cli.main import main
from actalker.evaluation.metrics import METRICS
from actalker.media.video import read_frames
from actalker.pipeline.model.folder import load_model, save_model
from actalker.signals.signal import SIGNALS

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


def blocks() -> list[str]:
    """The page's blocks of Python, in their order."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def names(monkeypatch, tmp_path):
    """The names that the page's blocks define; the tables that they change are restored afterwards."""
    for table in (SIGNALS, DENOISERS, METRICS):
        for name in ("sway", "Plain", "brightness"):
            monkeypatch.delitem(table, name, raising=False)
    first, *others = blocks()
    (tmp_path / "sway.py").write_text(first)
    monkeypatch.syspath_prepend(tmp_path)
    known = {"SMALL": SMALL}
    before = [dict(table) for table in (SIGNALS, DENOISERS, METRICS)]
    for text in others:
        exec(compile(text, str(PAGE), "exec"), known)
    yield known
    sys.modules.pop("sway", None)
    for table, entries in zip((SIGNALS, DENOISERS, METRICS), before, strict=True):
        table.clear()
        table.update(entries)


def test_the_pages_signal_backbone_and_metric_work(names, made, tmp_path, capsys):
    np.savetxt(tmp_path / "sway.csv", np.zeros((5, 2)), delimiter=",")
    save_model(names["model"], tmp_path / "model")
    words = ["infer", "--portrait", made / "face.png", "--model", tmp_path / "model", "--quiet"]
    words += ["--sway", tmp_path / "sway.csv", "--gate", "sway=0.5", "--out", tmp_path / "a.mp4"]
    assert main([str(word) for word in words]) == 0

    plain = names["plain"]
    conditions = some_conditions(plain)
    x = torch.randn(1, 4, 192, 8, 8)
    opened, closed = (
        plain.denoise(x, torch.ones(1), some_conditions(plain, gates={"audio": gate})) for gate in (1, 0)
    )
    assert not torch.equal(opened, closed) and conditions.open == ["audio", "expression", "text"]
    save_model(plain, tmp_path / "plain")
    assert type(load_model(tmp_path / "plain").network) is names["Plain"]

    words = ["infer", "--portrait", made / "face.png", "--model", tmp_path / "plain", "--quiet"]
    words += ["--audio", made / "speech.wav", "--duration", "0.2", "--out", tmp_path / "b.mp4"]
    assert main([str(word) for word in words]) == 0

    words = ["evaluate", tmp_path / "a.mp4", "--metrics", "brightness", "--out", tmp_path / "report"]
    assert main([str(word) for word in words]) == 0
    frames = np.stack(list(read_frames(tmp_path / "a.mp4")))
    (value,) = re.findall(r"\| brightness \| ([\d.]+)", (tmp_path / "report/metrics.md").read_text())
    assert float(value) == pytest.approx(frames.mean(), abs=0.1)
    capsys.readouterr()
