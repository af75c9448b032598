import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from actalker.data.performances.acting import acted, mirrored
from actalker.data.performances.looks import gap_of, named
from actalker.data.performances.reading import as_read
from actalker.data.performances.scripts import ACTIONS, WORDINGS, actions_of, draw_script, performed
from actalker.data.performances.sitters import draw_sitter
from actalker.data.puppets.phrases import WORDINGS as PUPPETS
from actalker.errors import InputError
from actalker.heads.face_map import FOLLOWS, NUMBERS
from actalker.heads.model import CLOSE, INDEX, head_model
from actalker.signals.script import parse_script, plain_words
from actalker.signals.text import LENGTH

PLACE = {name: k for k, name in enumerate(NUMBERS)}
FOLLOW = [k for k, name in enumerate(NUMBERS) if name.startswith(FOLLOWS)]
COEFFICIENTS = slice(0, 54)
SHUT = INDEX["mouthClose"]
SCALE = np.where(np.arange(62) < 54, 1.0, 20.0)  # what is much: 1 of a coefficient, 20 degrees, 20 cm
DOCS = Path(__file__).parents[2] / "docs" / "performances.md"
R25 = Fraction(25)


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    """Two hundred clips of six seconds."""
    return [acted(150, 25.0, np.random.default_rng(seed)) for seed in range(200)]


def opening(numbers: np.ndarray) -> np.ndarray:
    return gap_of(numbers) - CLOSE * numbers[:, SHUT]


def test_acted_numbers_are_a_faces(clips):
    every = np.concatenate(clips)
    assert every.dtype == np.float32 and every.shape == (200 * 150, 62)
    assert (every[:, FOLLOW] == 0).all()
    others = [k for k in range(54) if k != SHUT]
    assert every[:, others].min() >= 0 and every[:, others].max() <= 1
    assert (np.abs(every[:, 54:57]).max(0) <= (25, 18, 15)).all()
    assert opening(every).min() > -1e-5
    np.testing.assert_array_equal(acted(150, 25.0, np.random.default_rng(7)), clips[7])
    assert acted(1, 30.0, np.random.default_rng(0)).shape == (1, 62)


def test_everything_moves_often_enough_and_at_all_strengths(clips):
    every = np.abs(np.concatenate(clips)) / SCALE
    rare = ("jawForward", "jawLeft", "jawRight", "tongueOut")
    for k, name in enumerate(NUMBERS[:54]):
        if k in FOLLOW or k == SHUT:
            continue
        often, each = (0.004, 0.0) if name in rare else (0.02, 0.0015)
        shares = np.histogram(every[:, k], (0.1, 0.3, 0.5, 0.7, 1.01))[0] / len(every)
        assert shares.sum() > often and every[:, k].max() > 0.6, name
        assert (shares >= each).all(), (name, shares)
    for name in ("jawOpen", "mouthSmile_L", "mouthPucker", "eyeBlink_R", "browInnerUp_L", "browDown_R"):
        shares = np.histogram(every[:, PLACE[name]], (0.1, 0.3, 0.5, 0.7, 1.01))[0] / len(every)
        assert (shares > 0.01).all(), name


def test_much_of_the_time_nothing_much_happens(clips):
    calm = [(np.abs(clip[:, COEFFICIENTS]).max(1) < 0.1).mean() for clip in clips]
    assert 0.15 < np.mean(calm) < 0.5
    assert np.mean([np.abs(clip[:, 54:57]).max() < 3 for clip in clips]) > 0.08


def test_acted_blinks_are_quick(clips):
    long = short = 0
    for clip in clips:
        shut = np.r_[False, clip[:, [PLACE["eyeBlink_L"], PLACE["eyeBlink_R"]]].max(1) > 0.5, False]
        edges = np.flatnonzero(np.diff(shut.astype(int)))
        lengths = np.diff(edges)[::2]
        short, long = short + (lengths <= 7).sum(), long + (lengths > 7).sum()
    assert short > 3 * long and 0.1 < short / (200 * 6) < 0.6  # a second


def test_eyes_jump_and_heads_do_not(clips):
    gaze = np.concatenate([np.abs(np.diff(clip[:, PLACE["gaze right"]])) for clip in clips])
    yaw = np.concatenate([np.abs(np.diff(clip[:, PLACE["yaw"]])) for clip in clips])
    assert np.quantile(gaze, 0.5) < 0.3 and np.quantile(gaze, 0.995) > 8
    assert np.quantile(yaw, 0.995) < 3.5


def test_smiles_go_with_cheeks_and_both_sides_together(clips):
    every = np.concatenate(clips)
    left, right = (every[:, PLACE[f"mouthSmile_{side}"]] for side in "LR")
    assert np.corrcoef(left, right)[0, 1] > 0.9 and np.abs(left - right)[left > 0.3].mean() > 0.02
    assert np.corrcoef(left, every[:, PLACE["cheekSquint_L"]])[0, 1] > 0.4


def test_a_mirrored_face_is_the_others():
    face = named({"mouthSmile_L": 0.5, "jawLeft": 0.2, "jawOpen": 0.3, "yaw": 5, "pitch": 2, "gaze right": 3})
    other = named(
        {"mouthSmile_R": 0.5, "jawRight": 0.2, "jawOpen": 0.3, "yaw": -5, "pitch": 2, "gaze right": -3}
    )
    np.testing.assert_array_equal(mirrored(face), other)
    np.testing.assert_array_equal(mirrored(mirrored(face)), face)
    with pytest.raises(InputError, match="mouthSmil"):
        named({"mouthSmil": 1})


def test_a_driver_is_read_as_trackers_do(clips):
    read = [as_read(clip, np.random.default_rng(seed)) for seed, clip in enumerate(clips)]
    true, got = np.concatenate(clips), np.concatenate([numbers for numbers, _ in read])
    sure = np.concatenate([one for _, one in read])
    assert got.dtype == np.float32 and sure.dtype == np.float32 and np.isfinite(got).all()
    assert (got[:, FOLLOW] == 0).all() and sure.min() == 0 and sure.max() == 1
    assert 0.002 < (sure == 0).mean() < 0.06
    for name, least_r, low, high in (
        ("jawOpen", 0.85, 0.6, 1.0),
        ("mouthSmile_L", 0.85, 0.6, 1.0),
        ("mouthPucker", 0.6, 0.3, 0.7),
        ("eyeBlink_L", 0.85, 0.8, 1.05),
        ("browInnerUp_L", 0.75, 0.35, 0.75),
        ("browDown_L", 0.4, 0.15, 0.5),
        ("yaw", 0.95, 0.85, 1.05),
        ("pitch", 0.9, 0.7, 0.95),
        ("roll", 0.95, 0.85, 1.1),
    ):
        k = PLACE[name]
        assert np.corrcoef(true[:, k], got[:, k])[0, 1] > least_r, name
        assert low < np.polyfit(true[:, k], got[:, k], 1)[0] < high, name
    assert np.corrcoef(opening(true), opening(got))[0, 1] > 0.9


def test_reading_is_a_function_of_its_seed_and_leaves_its_input(clips):
    before = clips[3].copy()
    one, sure = as_read(clips[3], np.random.default_rng(1))
    again, _ = as_read(clips[3], np.random.default_rng(1))
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(clips[3], before)
    assert np.abs(one - as_read(clips[3], np.random.default_rng(2))[0]).max() > 0.01
    short, sure = as_read(clips[3][:1], np.random.default_rng(1))
    assert short.shape == (1, 62) and sure.shape == (1,)


def test_frames_without_a_face_lie_between_their_neighbours(clips):
    for seed in range(100):
        read, sure = as_read(clips[seed], np.random.default_rng(seed))
        lost = np.flatnonzero((sure[1:-1] == 0) & (sure[:-2] == 0) & (sure[2:] == 0)) + 1
        for k in lost:
            np.testing.assert_allclose(read[k] - read[k - 1], read[k + 1] - read[k], atol=1e-3)


def test_every_wording_is_known_unique_and_asks_for_its_action():
    assert len(ACTIONS) >= 30 and tuple(action.wordings for action in ACTIONS) == WORDINGS
    every = [wording for wordings in WORDINGS for wording in wordings]
    assert len({wording.lower() for wording in every}) == len(every)
    for action in ACTIONS:
        assert len({plain_words(wording) for wording in action.wordings}) >= 3, action.wordings
        for wording in action.wordings:
            assert actions_of(wording) == ((action,), 1.0), wording
            assert actions_of(f"She {wording}!")[0] == (action,), wording
            assert parse_script(f"0-1: {wording}").unknown(WORDINGS) == []
            assert len(wording) < LENGTH - 10


def test_the_puppets_wordings_still_mean_what_they_did():
    for wordings in PUPPETS:
        found = {actions_of(wording)[0] for wording in wordings}
        assert len(found) == 1 and len(found.pop()) == 1, wordings


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.wordings[0])
def test_every_action_is_seen_and_comes_back_to_rest(action):
    script = parse_script(f"0.4-2: {action.wordings[0]}")
    moved = performed(script, 75, R25)
    assert moved.dtype == np.float32 and moved.shape == (75, 62)
    assert (moved[:11] == 0).all() and (moved[50:] == 0).all()
    assert (np.abs(moved) / SCALE).max() > 0.3
    assert (moved[:, FOLLOW] == 0).all() and np.abs(np.diff(moved[:, :60] / SCALE[:60], axis=0)).max() < 0.8
    quick = performed(parse_script(f"0-0.3: {action.wordings[0]}"), 30, R25)
    assert (np.abs(quick) / SCALE).max() > 0.1 and (quick[8:] == 0).all()


@pytest.mark.parametrize(
    "text, name, sign",
    [
        ("looks left", "gaze right", -1),
        ("turns left", "yaw", -1),
        ("tilts head left", "roll", -1),
        ("winks left", "eyeBlink_R", 1),  # on the left of the picture
        ("winks right", "eyeBlink_L", 1),
        ("looks up", "gaze down", -1),
        ("lowers the head", "pitch", 1),
        ("leans forward", "z", -1),
        ("moves the jaw left", "jawRight", 1),
        ("opens the mouth", "jawOpen", 1),
    ],
)
def test_left_and_right_are_the_pictures(text, name, sign):
    moved = performed(parse_script(f"0-2: {text}"), 50, R25)
    assert sign * moved[25, PLACE[name]] / SCALE[PLACE[name]] > 0.3
    other = {"eyeBlink_R": "eyeBlink_L", "eyeBlink_L": "eyeBlink_R"}.get(name)
    assert other is None or moved[25, PLACE[other]] == 0


def test_a_head_nods_and_shakes_twice_a_second():
    nods = performed(parse_script("0-2: nods"), 50, R25)[:, PLACE["pitch"]]
    shakes = performed(parse_script("0-2: shakes her head"), 50, R25)[:, PLACE["yaw"]]
    for moved in (nods, shakes):
        power = np.abs(np.fft.rfft(moved - moved.mean()))
        assert power.argmax() == 4  # of 2 seconds
    assert nods.max() > 7 and nods.min() > -2 and shakes.max() > 6 and shakes.min() < -6


def test_a_blink_and_two():
    for text, count in (("blinks", 1), ("blinks twice", 2)):
        lids = performed(parse_script(f"1-2: {text}"), 75, R25)[:, PLACE["eyeBlink_L"]]
        starts = np.flatnonzero((lids[1:] > 0.5) & (lids[:-1] <= 0.5))
        assert len(starts) == count and lids.max() > 0.99, text


def test_steps_several_actions_and_words_around_them():
    both = performed(parse_script("0-2: She slowly smiles and nods."), 50, R25)
    smile, nod = (performed(parse_script(f"0-2: {text}"), 50, R25) for text in ("smiles", "nods"))
    np.testing.assert_allclose(both, smile + nod, atol=1e-5)
    after = performed(parse_script("0-2: smiles, then nods"), 50, R25)
    assert after[12, PLACE["mouthSmile_L"]] > 0.7 and after[37, PLACE["mouthSmile_L"]] == 0
    assert np.abs(after[26:50, PLACE["pitch"]]).max() > 5
    little = performed(parse_script("0-2: smiles slightly"), 50, R25)
    np.testing.assert_allclose(
        little[25, PLACE["mouthSmile_L"]], smile[25, PLACE["mouthSmile_L"]] / 2, rtol=1e-5
    )
    assert actions_of("tilts her head to the left") == actions_of("tilts head left")
    assert actions_of("dances") == ((), 1.0)
    assert (performed(parse_script("a man | 0-2: dances"), 50, R25) == 0).all()


def test_what_a_base_text_asks_for_is_held():
    held = performed(parse_script("a woman smiles | 1-2: nods"), 50, R25)
    assert (held[:, PLACE["mouthSmile_L"]] > 0.7).all()
    assert (performed(parse_script("a woman speaks"), 50, R25) == 0).all()


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001), Fraction(12)])
def test_a_script_is_performed_the_same_in_any_pieces(fps):
    script = draw_script(9.0, np.random.default_rng(4))
    whole = performed(script, 240, fps)
    pieces = [performed(script, 7, fps, start) for start in range(0, 238, 7)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole[:238])
    assert np.abs(whole).max() > 0.3


def test_drawn_scripts_fit_and_are_known():
    rng, said = np.random.default_rng(0), []
    for _ in range(600):
        script = draw_script(6.0, rng)
        script.check(Fraction(6))
        assert script.unknown(WORDINGS) == [] and len(script.steps) <= 5
        for step in script.steps:
            assert len(step.text) < LENGTH and actions_of(step.text)[0]
            said += actions_of(step.text)[0]
    counts = [said.count(action) for action in ACTIONS]
    assert min(counts) > 0.4 * np.mean(counts)
    assert str(draw_script(6.0, np.random.default_rng(3))) == str(draw_script(6.0, np.random.default_rng(3)))
    assert draw_script(0.2, np.random.default_rng(0)).phases == ()


def test_sitters_are_as_portraits_are():
    sitters = np.array([draw_sitter(np.random.default_rng(seed)) for seed in range(1500)])
    assert sitters.dtype == np.float32 and (sitters[:, FOLLOW] == 0).all() and (sitters[:, 57:60] == 0).all()
    others = [k for k in range(54) if k != SHUT]
    assert sitters[:, others].min() >= 0 and sitters[:, others].max() <= 1
    open_ = head_model().opening(sitters[:, COEFFICIENTS])
    assert 0.5 < (open_ < 0.05).mean() < 0.7 and 0.08 < (open_ > 0.8).mean() < 0.2 and open_.max() < 2
    smile = sitters[:, PLACE["mouthSmile_L"]]
    assert (
        0.15 < (smile > 0.5).mean() < 0.4
        and np.corrcoef(smile, sitters[:, PLACE["mouthSmile_R"]])[0, 1] > 0.9
    )
    assert 7 < sitters[:, PLACE["yaw"]].std() < 12
    assert ((sitters[:, PLACE["eyeBlink_L"]] > 0.25).mean()) > 0.02
    np.testing.assert_array_equal(draw_sitter(np.random.default_rng(9)), sitters[9])


def test_the_page_lists_every_action_in_its_words():
    page = DOCS.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^|]*)` \|", page[page.index("| wordings |") :], re.MULTILINE)
    assert [tuple(row.split("`, `")) for row in rows] == list(WORDINGS)
