"""The text encoder: exact times, each phrase on its own, and no word reaches a frame outside its phase."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actalker.data.puppets.motion import INDEX
from actalker.data.puppets.phrases import perform
from actalker.errors import InputError
from actalker.signals.script import parse_script
from actalker.signals.text import LENGTH, SWINGS, TextConfig, TextEncoder, moments, phrase_bytes

F25 = Fraction(25)
tokenize = TextEncoder.tokenize


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    encoder = TextEncoder(TextConfig()).eval()
    torch.nn.init.normal_(encoder.phase)  # as after training: zero would hide a wrong e_k
    return encoder


def read(encoder, text, frames=50, start=0, phases=None):
    ids, timing = tokenize(parse_script(text), F25, frames, start, phases)
    with torch.no_grad():
        return encoder(torch.from_numpy(ids)[None], torch.from_numpy(timing)[None])[0]


@pytest.mark.parity
@pytest.mark.parametrize("text", ["smiles", "hebt die brauen \u00fcber", "\u7b11\u3046", ""])
def test_ids_are_byt5s(text):
    from transformers import ByT5Tokenizer

    theirs = ByT5Tokenizer()(text, padding="max_length", max_length=LENGTH)["input_ids"]
    assert phrase_bytes(text).tolist() == (theirs if text else [0] * LENGTH)  # no phrase, no end mark


def test_long_phrases_are_cut_with_a_warning(caplog):
    ids = phrase_bytes("a" * 100)
    assert ids[-1] == 1 and (ids[:-1] == ord("a") + 3).all() and "cut to 63 bytes" in caplog.text


@settings(max_examples=60, deadline=None)
@given(
    fps=st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(12)]),
    start=st.integers(0, 40),
    times=st.lists(st.integers(0, 250), min_size=2, max_size=2, unique=True),
)
def test_timing_is_that_of_exact_fractions(fps, start, times):
    a, b = sorted(Fraction(t, 100) for t in times)
    script = parse_script(f"x | {a}-{b}: nods")
    timing = tokenize(script, fps, 30, start).timing[:, 0]
    for k in range(30):
        t = (start + k) / fps
        row = [1, t - a, b - t, (t - a) / (b - a)] if a <= t < b else [0] * 4
        np.testing.assert_allclose(timing[k], [float(v) for v in row], atol=1e-5)


def test_a_phase_that_ends_at_a_frame_does_not_hold_there():
    """Frame 30 at 25 fps is at 1.2 s exactly; 30 / 25 · 25 in floats need not be."""
    timing = tokenize(parse_script("x | 0-1.2: a | 1.2-2: b"), F25, 50).timing
    assert timing[:, 0, 0].nonzero()[0].max() == 29 and timing[:, 1, 0].nonzero()[0].min() == 30


def test_frames_outside_a_phase_never_feel_its_text(encoder):
    one = read(encoder, "a man speaks | 0.4-1.2: smiles | 1-1.6: nods")
    other = read(encoder, "a man speaks | 0.4-1.2: closes both eyes slowly | 1-1.6: nods")
    same = (one == other).all(dim=(1, 2))
    assert same.tolist() == [not 10 <= k < 30 for k in range(50)]  # bit for bit


def test_not_even_what_is_not_a_number(encoder):
    script = parse_script("x | 0-0.4: a | 1-2: b")
    ids, timing = (torch.from_numpy(x)[None] for x in tokenize(script, F25, 50))
    with torch.no_grad():
        encoder.phase[0] = torch.nan
        bad = encoder(ids, timing)[0].isnan().any(dim=(1, 2))
    assert bad.tolist() == [k < 10 for k in range(50)]


def test_the_base_text_reaches_every_frame_in_its_own_token(encoder):
    one, other = read(encoder, "a man speaks | 0-1: smiles"), read(encoder, "she whispers | 0-1: smiles")
    assert (one[:, 0] == one[:1, 0]).all() and torch.equal(one[:, 1], other[:, 1])
    assert (one[:, 0] != other[:, 0]).any()


def test_frames_without_a_phase_have_the_learned_token(encoder):
    tokens, none = read(encoder, "x | 1-2: nods"), read(encoder, "x")
    torch.testing.assert_close(tokens[:25], none[:25], atol=1e-5, rtol=1e-5)
    assert torch.equal(tokens[0, 1], none[0, 1]) and torch.equal(
        none[0, 1], encoder.norm(encoder.no_phase[None, None, None].expand(1, 1, 2, -1))[0, 0, 1]
    )


def test_a_phrase_is_encoded_on_its_own(encoder):
    """Its vector depends neither on the other phrases nor on how far it is padded."""
    alone = torch.from_numpy(phrase_bytes("raises brows"))[None]
    others = torch.from_numpy(np.stack([phrase_bytes(t) for t in ["x" * 60, "raises brows", "", "nods"]]))
    with torch.no_grad():
        z = encoder.encode(others)
        torch.testing.assert_close(z[1:2], encoder.encode(alone), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(z[1:2], encoder.encode(alone[:, :13]), atol=1e-5, rtol=1e-5)
    assert (z[2] == 0).all()


def test_order_of_words_counts(encoder):
    """Two phrases of the same bytes and the same triples of bytes: only their order tells them apart."""
    with torch.no_grad():
        a, b = encoder.encode(
            torch.from_numpy(np.stack([phrase_bytes("up x up y up"), phrase_bytes("up y up x up")]))
        )
    assert (a - b).abs().max() > 1e-3


def test_padding_phases_and_batches_change_nothing(encoder):
    text = "a man speaks | 0-1: smiles, then nods | 1.5-2: blinks"
    torch.testing.assert_close(read(encoder, text, phases=7), read(encoder, text), atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match="has 3 phases.*at most 2"):
        read(encoder, text, phases=2)


def test_a_range_is_cut_from_the_whole(encoder):
    text = "x | 0-0.8: smiles | 0.9-2: nods, then blinks"
    torch.testing.assert_close(read(encoder, text, 15, 20), read(encoder, text)[20:35], atol=1e-5, rtol=1e-5)


def test_phase_embeddings_start_at_zero_and_go_round(encoder):
    assert (TextEncoder(TextConfig()).phase == 0).all()
    many = " | ".join(["x", *(f"{k}-{k + 1}: nods" for k in range(9))])
    tokens = read(encoder, many, 225)[:, 1]
    assert torch.equal(tokens[8 * 25 + 3], tokens[3]) and not torch.equal(tokens[25 + 3], tokens[3])


def test_thirty_phrases_are_told_apart_after_little_training():
    torch.manual_seed(0)
    parts = [
        "left brow",
        "right brow",
        "both brows",
        "jaw",
        "lip corners",
        "left lid",
        "right lid",
        "both lids",
        "head",
        "eyes",
    ]
    phrases = [f"{verb} {part}" for verb in ("raises", "lowers", "holds") for part in parts]
    ids = torch.from_numpy(np.stack([phrase_bytes(p) for p in phrases]))
    encoder = TextEncoder(TextConfig())
    head = torch.nn.Linear(64, len(phrases))
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], 3e-3)
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(head(encoder.encode(ids)), torch.arange(len(phrases)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (head(encoder.encode(ids)).argmax(1) == torch.arange(len(phrases))).all()
    assert torch.equal(encoder.absent(2, 3)[1, 2], encoder.null)


def test_what_a_text_means_at_a_moment_is_learnt():
    """A nod goes to and fro and a smile stays, whenever it starts and however long: read from the tokens."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    encoder, head = TextEncoder(TextConfig()), torch.nn.Linear(64, 2)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], 3e-3)

    def clips(count):
        ids, timing, truth = [], [], []
        for _ in range(count):
            start, length = rng.integers(0, 60) / 100, rng.integers(60, 150) / 100
            text = rng.choice(["nods", "smiles"])
            script = parse_script(f"x | {start}-{start + length:.2f}: {text}")
            one = tokenize(script, F25, 50)
            motion = perform(script, np.arange(50) / 25)
            ids.append(one.bytes), timing.append(one.timing)
            truth.append(motion[:, [INDEX["pitch"], INDEX["smile"]]])
        return (torch.from_numpy(np.stack(rows)) for rows in (ids, timing, truth))

    for _ in range(150):
        ids, timing, truth = clips(16)
        loss = (head(encoder(ids, timing)[:, :, 1]) - truth).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        encoder.norm[1].settle(lambda seen: seen)
    ids, timing, truth = clips(40)
    with torch.no_grad():
        left = (head(encoder.eval()(ids, timing)[:, :, 1]) - truth).square().sum((0, 1))
    assert (left / truth.square().sum((0, 1)) < 0.2).all()


def test_seconds_are_read_in_full_by_a_network_of_half_the_digits(encoder):
    """A nod late in a long phase, where bfloat16 tells apart eighths of a second."""
    ids, timing = (torch.from_numpy(x)[None] for x in tokenize(parse_script("x | 0-20: nods"), F25, 50, 440))
    exact = encoder(ids, timing)
    rough = encoder.bfloat16()(ids, timing).float()
    assert (rough - exact).abs().mean() < 0.03 * exact.std()


def test_moments_are_times_and_waves_from_both_ends():
    timing = torch.tensor([1.0, 0.25, 0.5, 1 / 3])
    got = moments(timing)
    turns = [2 * np.pi * t * f for t in (0.25, 0.5) for f in SWINGS]
    since, until = np.split(np.array(turns), 2)
    waves = np.concatenate([np.sin(since), np.cos(since), np.sin(until), np.cos(until)])
    expected = np.concatenate([[1, np.log(1.25), np.log(1.5), 1 / 3], waves])
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-6)
