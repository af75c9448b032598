"""What a preparation says at its end."""

from __future__ import annotations

from media_files import text_as
from prepare_files import run_prepare

from actalker.data.prepare.summary import Summary


def row(clip: str, status: str = "ok", reason: str = "", stage: str = "quality", notes: str = "") -> dict:
    names = {
        "clip": clip,
        "person": clip.partition("_")[0],
        "source": f"/data/{clip}.mp4",
        "person_by": "video",
    }
    return {**names, "status": status, "reason": reason, "stage": stage, "notes": notes}


def test_reasons_stand_as_they_are_one_of_each_kind():
    limit = "less than --quality.level -50"
    rows = [
        row("gone1_0", "failed", "no video gone1.* and no clip gone1_0.* is there", "source"),
        row("gone27_3", "failed", "no video gone27.* and no clip gone27_3.* is there", "source"),
        row("b", "rejected", f"is silent: -87.5 dB, {limit}"),
        row("c", "rejected", f"is silent: -60 dB, {limit}"),
        row("d\n", "rejected", "has 1 cut, the first at 0.50 s", "shots"),
        row("e", notes="its time runs past the file: 1.00 of 2.00 s are there"),
        row("f", "failed", "is empty; copy it again"),
        row("g", "failed", "is empty; copy it again"),
        row("x.wav", "rejected", "stands beside the clip e.mp4 and is not used", "source"),
    ]
    assert Summary(rows).lines() == [
        "1 of 8 usable",
        "       1 person, told apart by video",
        "       2 failed: no video gone1.* and no clip gone1_0.* is there (gone1_0 and others like it)",
        "       2 failed: is empty; copy it again",
        f"       2 rejected: is silent: -87.5 dB, {limit} (b and others like it)",
        "       1 rejected: has 1 cut, the first at 0.50 s (d\\n)",
        "       1 of them: its time runs past the file: 1.00 of 2.00 s are there (e)",
        "       1 no clip: stands beside the clip e.mp4 and is not used (x.wav)",
    ]
    assert Summary(rows).whole_failure() is None


def test_a_failure_of_all_is_said_with_its_reason():
    one = row("a", "failed", "cannot be read", "probe")
    assert Summary([one]).whole_failure() == "the clip failed: cannot be read (a)"
    assert Summary([one, row("b", "failed", "cannot be read")]).whole_failure() == (
        "each of 2 clips failed: cannot be read"
    )
    other = row("b", "failed", "is empty")
    assert Summary([one, one, other]).whole_failure() == (
        "each of 3 clips failed: cannot be read, and 1 other reason"
    )
    assert Summary([one, row("b", "rejected", "is blurred")]).whole_failure() is None
    assert Summary([]).whole_failure() is None


def test_a_run_whose_every_clip_failed_ends_with_exit_code_2(tmp_path):
    (tmp_path / "source").mkdir()
    for name in ("take 1.mp4", "take 2.mp4"):
        text_as(tmp_path / "source" / name)
    done = run_prepare(tmp_path / "source", "--out", tmp_path / "out", "--engine", "serial", check=2)
    assert "0 of 2 usable" in done.stdout and (tmp_path / "out/manifest.parquet").is_file()
    assert "source: each of 2 clips failed: cannot be read as video" in done.stderr
