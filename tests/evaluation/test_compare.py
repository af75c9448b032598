"""Two runs of evaluate clip by clip: differences, what is skipped by name, and files that are no runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wilcoxon

from actalker.cli.main import main
from actalker.errors import InputError
from actalker.evaluation.compare import compare, read_run


def row_of(values: list[float | None], metric: str = "psnr", hash_: str = "a", **more: object) -> dict:
    clips = {f"clip{k}": value for k, value in enumerate(values)}
    return {"metric": metric, "hash": hash_, "protocol": {"formula": hash_}, "clips": clips, **more}


def run_of(values: list[float], hash_: str = "a") -> dict:
    return {"rows": [row_of(values, hash_=hash_)]}


def written(folder: Path, *runs: object) -> list[str]:
    paths = [folder / f"{k}.json" for k in range(len(runs))]
    for path, run in zip(paths, runs, strict=True):
        path.write_text(run if isinstance(run, str) else json.dumps(run), encoding="utf-8")
    return [str(path) for path in paths]


def test_two_runs_are_compared_clip_by_clip():
    rng = np.random.default_rng(0)
    first, gain = rng.normal(30, 3, 40), rng.normal(0.5, 0.4, 40)
    (row,) = compare(run_of(list(first)), run_of(list(first + gain))).rows
    assert row.count == 40 and row.value == pytest.approx(gain.mean())
    assert row.p == pytest.approx(wilcoxon(first + gain - first).pvalue, rel=1e-6)
    half = 1.96 * gain.std() / 40**0.5
    assert (row.low, row.high) == pytest.approx((gain.mean() - half, gain.mean() + half), abs=0.03)


def test_other_protocols_do_not_stand_in_one_table(tmp_path, capsys):
    paths = written(tmp_path, run_of([1.0, 2.0]), run_of([2.0, 3.0], "b"))
    assert main(["compare", *paths]) == 2
    assert "psnr: the protocols differ (formula)" in capsys.readouterr().err
    assert main(["compare", *paths, "--force"]) == 0
    assert "| psnr | 1 | 1 to 1 | 2 |  |" in capsys.readouterr().out


def test_what_has_no_values_is_skipped_and_named(tmp_path, capsys):
    """As runs are in which no weights were given, sizes differed, a metric is of all clips, or is missing."""
    nothing: list[float | None] = [None, None, None]
    why = {"picture sizes differ": 3}
    first = [
        row_of(nothing, failures=why, value=None),
        row_of([1.0, 2.0, None], "ssim", value=1.5),
        row_of(nothing, "fid", value=12.25, failures={}),
        row_of([1.0, None, None], "lmd", value=1.0),
        row_of([0.5, float("nan"), 3.0], "flicker", value=1.0),
        row_of([1.0, 1.0, 1.0], "seam", "old"),
    ]
    second = [
        row_of(nothing, hash_="b", failures=why, value=None),
        row_of([1.5, None, 4.0], "ssim", value=2.7),
        row_of(nothing, "fid", value=11.0, failures={}),
        row_of([None, 2.0, None], "lmd", value=2.0),
        row_of([1.5, 2.0, 5.0], "flicker", value=2.0),
        row_of([1.0, 1.0, 1.0], "csim"),
    ]
    paths = written(tmp_path, {"rows": first}, {"rows": second})
    assert main(["compare", *paths]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| ssim | 0.5 |  | 1 |  |",
        "| flicker | 1.5 | 1 to 2 | 2 |  |",
        "- psnr: skipped; no values in the first run: picture sizes differ (3)",
        "- fid: skipped; one number of all clips together, 12.25 and 11",
        "- lmd: skipped; no clip has a value in both runs",
        "- seam: skipped; only in the first run",
        "- csim: skipped; only in the second run",
    ]


def test_runs_that_have_nothing_in_common_are_refused():
    with pytest.raises(InputError, match="nothing can be compared.*psnr: no values in the second run"):
        compare(run_of([1.0]), {"rows": [row_of([None])]})
    with pytest.raises(InputError, match="nothing can be compared.*both runs are empty"):
        compare({"rows": []}, {"rows": []})


FOREIGN = [
    "{}", "[]", "null", "not JSON", '{"rows": 3}', '{"rows": [3]}', '{"rows": [{"metric": "psnr"}]}',
    '{"rows": {"psnr": 1}}', "[" * 100000, "\ud800",
    '{"rows": [{"metric": "psnr", "hash": "a", "protocol": 3, "clips": {"a": 1}}]}',
    '{"rows": [{"metric": "psnr", "hash": "a", "protocol": {}, "clips": {"a": "many"}}]}',
    '{"rows": [{"metric": "psnr", "hash": "a", "protocol": {}, "clips": [1, 2]}]}',
    '{"rows": [{"metric": ["psnr"], "hash": "a", "protocol": {}, "clips": {}}]}',
    '{"rows": [{"metric": "psnr", "hash": "a", "protocol": {}, "clips": {"a": 1' + "0" * 400 + "}}]}",
]  # fmt: skip


@pytest.mark.parametrize("text", FOREIGN, ids=range(len(FOREIGN)))
def test_other_files_are_one_line(tmp_path, capsys, text):
    good, bad = written(tmp_path, run_of([1.0, 2.0]), "x")
    Path(bad).write_bytes(text.encode(errors="surrogatepass"))
    assert main(["compare", good, bad]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {bad}: is no metrics.json of actalker evaluate") and said.count("\n") == 1


def test_a_byte_order_mark_is_no_fault(tmp_path):
    (path,) = written(tmp_path, "\ufeff" + json.dumps(run_of([1.0])))
    assert read_run(path)["rows"][0]["clips"] == {"clip0": 1.0}


def test_a_missing_file_is_called_missing(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_run(tmp_path / "none.json")


def test_other_files_are_told_without_assertions_too(tmp_path):
    paths = written(tmp_path, run_of([1.0]), '{"rows": [{"metric": "psnr"}]}')
    words = [sys.executable, "-O", "-m", "actalker", "compare", *paths]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 2 and "is no metrics.json" in done.stderr and done.stderr.count("\n") == 1
