"""`actalker demo`: the files it promises, from what the package carries."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np

from actalker.cli.demo import script
from actalker.cli.main import main
from actalker.evaluation.figures import CAPTION, PANEL
from actalker.media.video import probe, read_frames

FILES = ["demo.json", "demo.mp4", "demo_gates.mp4", "demo_preview.png", "driver.mp4", "portrait.png"]


def test_the_demo_shows_the_clip_beside_each_closed_gate(made, tmp_path, capsys):
    words = [
        "demo",
        "--out",
        str(tmp_path / "new" / "folder"),
        "--model",
        str(made / "model"),
        "--duration",
        "0.6",
    ]
    assert main(words) == 0
    folder = tmp_path / "new" / "folder"
    assert sorted(p.name for p in folder.iterdir()) == FILES
    said = capsys.readouterr().out.splitlines()
    written = ["portrait.png", "driver.mp4", "demo.mp4", "demo.json", "demo_preview.png", "demo_gates.mp4"]
    at = said.index(next(line for line in said if line.startswith("plan, four times over: 15 frames")))
    assert said[at + 1] == "  driving video: motion is relative to its face at 0.00 s"
    assert said[:at] + said[at + 2 :] == [str(folder / name) for name in written]
    told = json.loads((folder / "demo.json").read_text())
    assert told["script"] == "a woman talks to the viewer | 0.5-0.6: raises brows"

    gates = probe(folder / "demo_gates.mp4")
    assert (gates.width, gates.height, gates.frames, gates.has_sound) == (
        4 * PANEL,
        PANEL + CAPTION,
        15,
        True,
    )
    row = np.stack(list(read_frames(folder / "demo_gates.mp4")))[-1, CAPTION:].astype(int)
    opened, *closed = (row[:, k * PANEL : (k + 1) * PANEL] for k in range(4))
    assert all(np.abs(panel - opened).max() > 20 for panel in closed)

    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err
    assert (
        main(["demo", "--out", str(tmp_path / "none"), "--model", str(made / "model"), "--duration", "0"])
        == 2
    )
    assert "--duration 0: is less than a frame" in capsys.readouterr().err


def test_the_script_fits_the_duration():
    assert script(Fraction(4)) == "a woman talks to the viewer | 0.5-1.7: raises brows | 2.3-3.9: smiles"
    assert script(Fraction(5, 2)) == "a woman talks to the viewer | 0.5-1.7: raises brows | 2.3-2.5: smiles"
    assert script(Fraction(1, 2)) == "a woman talks to the viewer"
