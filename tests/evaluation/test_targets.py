"""What the model that ships must show: measures against known values, and the preset on a toy."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from media_files import video_file
from motion_models import motion_model
from PIL import Image
from skimage.data import astronaut

from actalker.data.performances.dataset import PerformanceConfig, PerformanceDataset
from actalker.data.sample import collate
from actalker.data.speech.cache import Utterance
from actalker.errors import InputError
from actalker.evaluation import lips
from actalker.evaluation.cells import read_values, write_cell
from actalker.evaluation.heads import portraits
from actalker.evaluation.heads.reading import Reading
from actalker.evaluation.targets import clips as listed
from actalker.evaluation.targets import driven, given, items, makers, performances, report, seen, sounds
from actalker.evaluation.targets.measures import MEASURES, over
from actalker.heads.articulation import Phone
from actalker.heads.face_map import NUMBERS, weights
from actalker.heads.model import SCORES

RATE = sounds.RATE


def tone(hertz: float, seconds: float) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)


def power_at(sound: np.ndarray, hertz: float) -> float:
    return float(np.abs((sound * np.exp(-2j * np.pi * hertz * np.arange(len(sound)) / RATE)).mean()))


def speech(seconds: float = 2.0) -> sounds.Speech:
    phones = tuple(Phone(k * 0.2, (k + 1) * 0.2, "pa"[k % 2]) for k in range(round(seconds / 0.2)))
    return sounds.Speech("voice", tone(440, seconds), phones)


def test_channels_follow_a_driver_where_it_moves():
    rng = np.random.default_rng(0)
    person = np.r_[np.nan, rng.normal(size=99)] * 0.1
    made = 0.5 * person + 0.3
    found = driven.followed(np.r_[made, 5.0], person)
    assert found is not None and found.r == pytest.approx(1) and found.amplitude == pytest.approx(0.5)
    assert driven.followed(made, 0.1 * person) is None
    still = driven.followed(np.full(100, 0.5), person)
    assert still is not None and (still.r, still.amplitude) == (0.0, 0.0)


def test_blinks_are_counted_and_their_intervals_measured():
    lids = np.full(25 * 30, 0.3)
    for start in (2.0, 5.0, 11.0, 12.0):
        lids[round(start * 25) : round(start * 25) + 4] = 0.05
    lids[20 * 25 : 21 * 25] = 0.05  # closed for a second: no blink
    assert driven.blinks_a_minute(lids, 25) == pytest.approx(8)
    intervals = driven.blink_intervals(lids, 25)
    assert intervals == pytest.approx([3, 6, 1])
    assert driven.irregularity(intervals) == pytest.approx(np.std([3, 6, 1]) / np.mean([3, 6, 1]))
    assert np.isnan(driven.irregularity([3.0, 6.0]))
    assert driven.blinks_a_minute(np.full(100, 0.3), 25) == 0


def test_two_seeds_are_apart_by_their_difference():
    one, other = np.sin(np.arange(200) / 9), np.cos(np.arange(200) / 9)
    assert driven.apart(one, one) == 0
    assert driven.apart(one, other) == pytest.approx(np.abs(one - other).mean() / one.std())
    assert driven.apart(np.zeros(9), np.zeros(9)) == 0


def test_sounds_are_mixed_at_the_level_that_is_asked_for():
    voice = speech()
    mixed = sounds.over(voice, tone(3100, 3.0), 10.0, "noise")
    assert power_at(mixed.sound, 440) / power_at(mixed.sound, 3100) == pytest.approx(10**0.5, rel=0.02)
    assert mixed.phones == voice.phones and np.abs(mixed.sound).max() <= 1


def test_a_telephone_passes_its_band_alone():
    both = sounds.Speech("two", (tone(1000, 1.0) + tone(6000, 1.0) + tone(100, 1.0)) / 3, ())
    heard = sounds.telephone(both).sound
    assert power_at(heard, 1000) > 0.8 * power_at(both.sound, 1000)
    assert max(power_at(heard, 6000), power_at(heard, 100)) < 0.03 * power_at(both.sound, 1000)


def test_sentences_are_joined_with_their_phones():
    part = (np.full(RATE, 16384, np.int16), [Phone(0.0, 0.5, "p"), Phone(0.5, 1.0, "a")])
    whole = sounds.joined("two", [part, part, part], 2.0)
    assert whole.seconds == pytest.approx(0.3 + 2 * 1.3) and whole.sound.max() == 0.5
    assert [(round(p.start, 3), p.symbol) for p in whole.phones] == [
        (0.3, "p"),
        (0.8, "a"),
        (1.6, "p"),
        (2.1, "a"),
    ]
    late = whole.between(1.0, 2.2)
    assert [(round(p.start, 3), p.symbol) for p in late.phones] == [(0.6, "p")]
    other = replace(late, phones=())
    assert other.digest() != late.digest() and other.digest(False) == late.digest(False)
    assert late.sound[0] == 0.5 and late.digest() != whole.first(1.2).digest()


def test_a_song_goes_on_without_a_closure_and_music_has_a_beat():
    song = sounds.song()
    asked = makers.asked_opening(song.phones, round(song.seconds * 25))
    assert asked[20:-20].min() > 2 * lips.SHUT * lips.most(asked)
    inside = song.sound[RATE // 2 : -RATE // 2].reshape(-1)[: RATE * 6].reshape(-1, RATE // 10)
    assert np.sqrt((inside**2).mean(1)).min() > 0.02
    assert np.array_equal(sounds.music(RATE, 1), sounds.music(RATE, 1))
    assert not np.array_equal(sounds.music(RATE, 1), sounds.music(RATE, 2))


def test_what_phones_ask_for_is_shut_at_p_and_open_at_a():
    said = speech()
    asked = makers.asked_opening(said.phones, 50)
    assert lips.closed_at(asked, said.phones, lips.PRESSED).all()
    assert not lips.closed_at(asked, said.phones, lips.OPEN).any()


def read(frames: int, **curves: np.ndarray) -> seen.Seen:
    values = {name: np.full(frames, 0.1) for name in ("opening", "width", "lids", "brows")}
    shapes, pose = np.zeros((frames, len(SCORES))), np.zeros((frames, 3))
    return replace(seen.Seen(**values, shapes=shapes, pose=pose), **curves)


def test_rows_hold_what_was_seen_and_whether_it_is_enough(tmp_path):
    picture = tmp_path / "face.png"
    Image.new("RGB", (8, 8)).save(picture)
    said = speech(4.0)
    asked = makers.asked_opening(said.phones, 100)
    clip = listed.Clip("speech", 0, picture, 4.0, said)
    film = listed.Clip("driver", 0, picture, 4.0, driver=picture)
    pair = listed.Clip("closing", 0, picture, 2.0, said, driver=picture, pair=True)
    rng = np.random.default_rng(0)
    moves = rng.normal(size=(100, len(SCORES))) * 0.2
    kept = {
        ("new", "speech", 0): read(100, opening=asked + 0.02 * rng.normal(size=100)),
        ("old", "speech", 0): read(100, opening=rng.random(100)),
        (seen.REAL, "driver", 0): read(100, shapes=moves),
        ("new", "driver", 0): read(100, shapes=0.7 * moves),
        ("direct", "driver", 0): read(100, shapes=0.9 * moves + 0.02 * rng.normal(size=moves.shape)),
        ("new", "closing", 0): read(50, change=np.array([5.0, 0.05, 0.25])),
    }
    shown = report.shown_of(["new", "old", "direct"], kept, [clip, film, pair], {})
    rows = {row.what: row for row in report.lines(shown)}
    row = rows["unseen voices: closed at p b m"]
    assert row.values["new"].value == 1 and row.met and row.values["new"].count == 10
    assert np.isnan(row.values["direct"].value) and row.values["old"].value < 0.8
    assert rows["unseen voices: lips' opening against the articulators, r"].values["new"].value > 0.95
    jaw = rows["driver: jaw, r"]
    assert jaw.values["new"].value == pytest.approx(1) and jaw.met and ">= direct - 0.05" in jaw.target
    assert rows["driver: jaw, amplitude"].values["new"].value == pytest.approx(0.7)
    leak = "closing audio changes the %s, %% of its change in the lower face"
    assert rows[leak % "upper face"].values["new"].value == pytest.approx(1) and rows[leak % "upper face"].met
    assert rows[leak % "rest"].values["new"].value == pytest.approx(5) and not rows[leak % "rest"].met
    assert not any("speaker" in what for what in rows)  # nobody spoke
    text = report.markdown(list(rows.values()), {"new": "new", "old": "old"})
    assert "| driver: jaw, r | >= 0.75; >= direct - 0.05 | 1.00 |  | yes |" in text


def test_a_driver_is_held_against_direct():
    jaw = MEASURES["driver: jaw, r"]
    assert jaw.met(0.8) and jaw.met(0.8, 0.85) and not jaw.met(0.8, 0.86) and not jaw.met(0.7, 0.5)
    amplitude = MEASURES["driver: jaw, amplitude"]
    assert amplitude.target == "0.6 to 1.2" and amplitude.met(1.2) and not amplitude.met(1.21)
    assert amplitude.met(float("nan")) is None


def test_every_protocol_has_a_hash_of_its_own_and_keeps_it():
    hashes = {name: report.protocol_hash(report.protocol(measure)) for name, measure in MEASURES.items()}
    assert len(set(hashes.values())) == len(MEASURES)
    one = next(iter(MEASURES.values()))
    assert hashes[one.name] == report.protocol_hash(report.protocol(one))
    other = replace(one, formula=one.formula + ", twice")
    assert report.protocol_hash(report.protocol(other)) != hashes[one.name]


def test_conflicts_are_what_each_signal_loses_beside_the_other():
    said, rng = speech(4.0), np.random.default_rng(0)
    asked, brows, other = makers.asked_opening(said.phones, 100), rng.random(100), rng.random(100)
    path = Path("unused")
    both = listed.Clip("both", 0, path, 4.0, said, driver=path)
    kept = {
        ("m", "clean", 0): read(100, opening=asked),
        ("m", "driver", 0): read(100, brows=brows),
        ("m", "both", 0): read(100, opening=rng.random(100), brows=other),
        (seen.REAL, "driver", 0): read(100, brows=brows),
    }
    shown = items.Shown("m", kept, {"both": [both]})
    assert items.lips_lost(shown)[0] == pytest.approx(1, abs=0.3)
    assert items.upper_lost(shown)[0] == pytest.approx(1, abs=0.3)
    kept["m", "both", 0] = read(100, opening=asked, brows=brows)
    assert items.lips_lost(shown) == [0] and items.upper_lost(shown) == [0]


def test_another_clips_sound_is_taken_from_each_second_on():
    rng, path = np.random.default_rng(0), Path("unused")
    clips = [listed.Clip("real", k, path, 3.0, real=path) for k in range(2)]
    curves = rng.random((4, 75))
    kept = {("m", "real", k): read(75, opening=curves[k]) for k in range(2)}
    kept |= {(seen.REAL, "real", k): read(75, opening=curves[2 + k]) for k in range(2)}
    pairs = [(curves[1], curves[2]), (curves[0], curves[3])]
    expected = [
        np.mean([lips.agreement(np.r_[made[by:], made[:by]], asked, 2) for by in (0, 25, 50)])
        for made, asked in pairs
    ]
    assert items.swapped(items.Shown("m", kept, {"real": clips}), "opening") == pytest.approx(expected)


def test_change_is_told_by_region():
    frame = np.zeros((200, 200, 3), np.uint8)
    points = np.full((2, 478, 2), 100.0)
    for rows, place in (((33, 133), (70, 80)), ((362, 263), (130, 80)), ((61, 291, 13, 14), (100, 130))):
        points[:, list(rows)] = place
    points[:, [61, 291]] = [(85, 130), (115, 130)]
    points[:, 2] = (100, 115)
    points[:, 10], points[:, 152], points[:, 234], points[:, 454] = (
        (100, 40),
        (100, 160),
        (50, 100),
        (150, 100),
    )
    reading = Reading(points, np.zeros((2, 52)), np.zeros((2, 3)))
    mouth, brow, corner = frame.copy(), frame.copy(), frame.copy()
    mouth[128:132, 98:102], brow[60:64, 98:102], corner[:4, :4] = 255, 255, 255
    for k, made in enumerate((mouth, brow, corner)):
        change = seen.change_by_region([frame, frame], [made, made], reading)
        assert change[k] > 0 and not np.delete(change, k).any()


def test_what_was_seen_is_kept_and_damage_is_not_taken(tmp_path):
    rng = np.random.default_rng(0)
    was = read(5, opening=np.array([0, 1, np.nan, 2, 3.0]), change=np.array([1, np.nan, 3.0]))
    was = replace(was, shapes=rng.random(was.shapes.shape), pose=rng.random(was.pose.shape))
    write_cell(tmp_path, "key", seen.cell_of(was))
    again = seen.read_seen(tmp_path, "key")
    for name, values in vars(was).items():
        assert np.array_equal(getattr(again, name), values.astype(np.float32), equal_nan=True), name
    path = tmp_path / "key.reading.npy"
    path.write_bytes(path.read_bytes()[:100])
    assert read_values(tmp_path, "key") is None and read_values(tmp_path, "none") is None


def test_the_list_of_clips_is_fixed(tmp_path):
    def picture(name: str) -> Path:
        path = tmp_path / name
        path.write_bytes(name.encode())
        return path

    sitters = listed.Sitters(tuple(map(picture, "abcdefg")), (picture("p"),), (picture("l"),))
    voices = [speech(30.0), speech(30.0), speech(30.0)]
    films = {picture("x"): 1.0, picture("y"): 20.0}
    made = listed.clips(sitters, voices, speech(60.0), {picture("r"): 9.0}, films)
    assert made[0].use == "real" and made[0].seconds == listed.LONGEST and made[0].signals == ("audio",)
    spoken = [clip for clip in made if clip.use == "speech"]
    assert [clip.portrait.name for clip in spoken] == list("abcdef")
    assert sum(clip.seconds for clip in spoken) >= 60
    assert len({clip.speech.digest() for clip in spoken if clip.speech}) == 2  # of three equal voices
    assert [clip.seconds for clip in made if clip.use == "driver"] == [1.0, listed.SHORT]
    assert {clip.use for clip in made} == {
        *("real", "driver", "speech", "parted", "laughing", "clean", "music", "noise", "telephone"),
        *("silence", "song", "loud music", "both", "closing", "long", "again"),
    }
    assert len({clip.digest() for clip in made}) < len(made)  # equal voices
    assert listed.clips(sitters, [], None, {}, films)[0].signals == ("expression",)
    assert listed.Sitters((), (), (Path("l"),)).driven(1) == Path("l")


def test_voices_that_say_too_little_are_refused():
    one = Utterance(np.zeros(RATE, np.int16), [Phone(0, 1, "a")], *given.VOICES[0], "en", "ah", True)
    with pytest.raises(InputError, match="flite rms says 3 s, of which 30 are needed"):
        given.voices([one, one])


def test_a_phrase_shows_where_half_of_it_is_in_the_motion():
    rise = np.sin(np.linspace(0, np.pi, 40))
    smile, brows = np.zeros((2, 100, len(NUMBERS)))
    smile[10:50, NUMBERS.index("mouthSmile_L")] = rise
    brows[55:95, NUMBERS.index("browInnerUp_L")] = rise
    both, offset = [smile, brows], np.full(len(NUMBERS), 0.3)
    assert performances.shows(0.51 * smile + offset, smile, both)
    assert not performances.shows(0.49 * smile + offset, smile, both)
    assert not performances.shows(smile + brows * 0.2, brows, both)
    assert performances.shows(-brows, -brows, both) and not performances.shows(-brows, brows, both)


def test_groups_of_numbers_agree_where_they_move():
    rng = np.random.default_rng(0)
    asked = np.zeros((100, len(NUMBERS)))
    moves = [NUMBERS.index(name) for name in ("jawOpen", "eyeBlink_L", "eyeBlink_R", "yaw")]
    asked[:, moves] = rng.normal(size=(100, 4)) * (0.3, 0.3, 0.3, 5)
    made = asked.copy()
    made[:, moves[2]] = rng.normal(size=100)
    found = performances.agreements(made, asked)
    lids = (1 + np.corrcoef(made[:, moves[2]], asked[:, moves[2]])[0, 1]) / 2
    assert found == {"mouth": 1, "jaw": 1, "pose": 1, "lids": pytest.approx(lids)} | {
        name: pytest.approx(1) for name in ("mouth", "jaw", "pose")
    }
    assert performances.agreements(made, 0.01 * asked) == {}


def test_performances_under_gates():
    data = PerformanceDataset(PerformanceConfig(performances.SEED, 50, 2.0), 2)
    batch = collate([data[0]])
    told = performances.measure(None, batch, performances.phases(data, 0), batch)
    assert told["errors"]["open"] == {"mouth": 0, "upper": 0}
    closed, names = told["errors"]["audio closed"], batch.names()
    part = (batch.parts[0, names.index("audio")].numpy() * weights())[:, makers.OF_MOUTH]
    assert closed["mouth"] == pytest.approx((part**2).sum(1).mean(), rel=1e-5) and closed["upper"] == 0
    assert all(told["monotone"].values()) and "audio" in told["monotone"]
    assert np.isnan(over(np.zeros((3, 2)))) and over(np.array([[3.0, 1.0], [1.0, 1.0]])) == 2


@pytest.mark.slow
def test_a_model_performs():
    data = PerformanceDataset(PerformanceConfig(performances.SEED, 14, 2.0), 1)
    batch = collate([data[0]])
    told = performances.measure(None, batch, [], batch)
    fresh = performances.measure(motion_model(), batch, [], batch)
    assert fresh["errors"]["open"]["mouth"] > 0 and set(fresh["r"]) == set(told["r"])
    assert set(fresh["monotone"]) == set(told["monotone"])


def ablate(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "actalker", "ablate", "--preset", "targets", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def test_wrong_words_are_one_line(tmp_path):
    picture = tmp_path / "face.png"
    Image.new("RGB", (64, 64)).save(picture)
    for words, told in (
        (("--drivers", picture), "need --portraits"),
        (("--portraits", picture, "--text", "a person | 0-1: smiles"), "takes no --text"),
        (("--portraits", picture, "--beside", "teeny"), "teeny"),
        (("--portraits", picture, "--audio", tmp_path / "none.mp4"), "none.mp4"),
        (("--portraits", picture, "--workers", "0"), "--workers 0"),
    ):
        run = ablate(*words, "--out", tmp_path / "out")
        assert run.returncode == 2 and len(run.stderr.strip().splitlines()) == 1 and told in run.stderr
        assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_table_is_written_and_goes_on_where_it_was(tmp_path):
    pytest.importorskip("mediapipe")
    face = tmp_path / "face.png"
    Image.fromarray(astronaut()[:300, 80:380]).save(face)
    head = portraits.open_portrait(face).head
    levels = 0.25 - 0.25 * np.cos(np.arange(20) / 2)
    frames = [portraits.draw(head, portraits.ask({"jawOpen": 2 * v}, yaw=12 * v)).frame for v in levels]
    film = video_file(tmp_path / "driver.mp4", frames, 25)
    words = ("--portraits", face, "--drivers", film, "--model", "direct", "--out", tmp_path / "out")
    first = ablate(*words)
    assert first.returncode == 0, first.stderr
    rows = json.loads((tmp_path / "out" / "targets.json").read_text())["rows"]
    jaw = next(row for row in rows if row["what"] == "driver: jaw, r")
    assert jaw["values"]["direct"]["value"] > 0.9 and jaw["met"]
    assert jaw["values"]["truth"]["value"] == pytest.approx(jaw["values"]["direct"]["value"], abs=0.02)
    assert "| driver: jaw, r |" in first.stdout
    kept = {path: path.stat().st_mtime_ns for path in Path(tmp_path, "out", "cells").iterdir()}
    assert ablate(*words).stdout == first.stdout
    assert kept == {path: path.stat().st_mtime_ns for path in Path(tmp_path, "out", "cells").iterdir()}
