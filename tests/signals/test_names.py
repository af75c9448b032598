"""Signals' names stand in the table and in signals' own files; elsewhere only where a rule is about one."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "actalker"
NAMES = {"audio", "expression", "text"}
OWN = ("signals/", "data/puppets/", "data/performances/", "data/speech/")  # and synthetic data
ALLOWED = {  # lines
    "cli/ablate.py": 1,  # targets measure what videos of speakers say
    "backbones/released.py": 1,  # the release's two signals, in the order of its weights
    "control/released.py": 2,
    "evaluation/targets/makers.py": 1,  # the pair of clips in which the gate of speech is closed
    "evaluation/targets/measures.py": 1,  # what a driver moves
    "evaluation/targets/performances.py": 2,  # phrases are seen where the driver is closed
}
OTHER = (  # where the same word is something else: a key of JSON, a kind of value, the name of a picture
    *("cli/options.py", "data/clip_set.py", "data/members.py", "data/prepare/captions.py"),
    *("data/prepare/celebv.py", "evaluation/heads/portraits.py", "evaluation/heads/report.py"),
    *("pipeline/looks.py", "released/importing.py"),
)


def literals(path: Path) -> list[int]:
    """Lines with a string that is a signal's name, docstrings aside."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in NAMES
    ]


def test_no_other_file_names_a_signal():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(OWN) and name not in OTHER and (lines := literals(path)):
            found[name] = len(set(lines))
    assert found == ALLOWED and sum(ALLOWED.values()) <= 10
