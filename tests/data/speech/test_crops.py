"""Crops of speech for training: what is heard and what the mouth does, together, and the same every time."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from actalker.data.module import SpeechData
from actalker.data.sample import collate
from actalker.data.speech.dataset import SpeechDataConfig, SpeechDataset
from actalker.data.speech.make import make
from actalker.errors import InputError
from actalker.evaluation.statistics import correlation
from actalker.heads.articulation import ARTICULATORS, PHONES
from actalker.signals.running import BANDS, CONTEXT, LOOK_AHEAD
from actalker.signals.speech import STRIDE

pytest.importorskip("espeakng_loader", reason="pip install espeakng-loader")
REST, CLOSE = ARTICULATORS.index("rest"), ARTICULATORS.index("close")


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> SpeechDataConfig:
    """Of a cache of half a minute of espeak-ng."""
    folder = tmp_path_factory.mktemp("speech") / "cache"
    make(folder, minutes=1.5, engines=["espeak"], workers=1)
    return SpeechDataConfig(str(folder), seed=3)


def test_a_crop_is_a_function_of_seed_and_place(config):
    data, again = SpeechDataset(config, 8), pickle.loads(pickle.dumps(SpeechDataset(config, 8)))
    again[5]  # whatever was asked for before
    for place in (3, 11, 3):
        one, other = data[place], again[place]
        for name in ("features", "articulators", "phones", "index"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert not torch.equal(data[3].features, data[11].features) and data[3].index == data[11].index == 3
    other = SpeechDataset(replace(config, seed=4), 8)
    assert not torch.equal(other[3].features, data[3].features)


def test_a_batch_is_what_the_encoder_reads(config):
    data = SpeechDataset(config, 4)
    batch = collate([data[k] for k in range(4)])
    assert batch.features.shape == (4, CONTEXT + STRIDE * 74, BANDS) and batch.features.abs().max() <= 2
    assert batch.articulators.shape == (4, 75, len(ARTICULATORS)) and batch.phones.shape == (4, 75)
    assert batch.length == 75 and batch.phones.max() < len(PHONES)


def test_what_is_heard_stands_at_the_time_of_what_the_mouth_does(config):
    data = SpeechDataset(replace(config, clean=1.0, empty=0.0), 12)
    crops = [data.make(k) for k in range(12)]
    found = []
    for shift in (-8, 0, 8):
        agree = []
        for crop in crops:
            loud = crop.log[:, 3:60].astype(float).mean(1)
            rest = crop.articulators[:, REST].astype(float)
            if rest.std() > 0.2:
                agree.append(correlation(np.roll(loud, shift)[10:-10], -rest[10:-10]))
        found.append(np.mean(agree))
    assert found[1] > 0.6 and found[1] == max(found)


def test_outputs_are_those_of_the_middles_of_their_windows(config):
    data = SpeechDataset(replace(config, clean=1.0, empty=0.0), 4)
    heard, cut = data.make(1), data[1]
    rows, whole = cut.articulators.numpy(), heard.articulators.astype(np.float32)
    last = len(whole) - data.hops
    firsts = [s for s in range(last + 1) if np.array_equal(whole[s + LOOK_AHEAD :: STRIDE][:75], rows)]
    assert len(firsts) == 1
    log = heard.log[firsts[0] :][: len(cut.features)].astype(np.float32)
    assert correlation(log.mean(1), cut.features.numpy().mean(1)) > 0.8


def test_a_closure_of_the_speech_is_a_closure_of_the_truth(config):
    data = SpeechDataset(replace(config, empty=0.0), 10)
    symbols, crops = list(PHONES), [data.make(k) for k in range(10)]
    closed = np.concatenate([crop.articulators[:, CLOSE] for crop in crops])
    phones = np.concatenate([crop.phones for crop in crops])
    pressed = np.isin(phones, [symbols.index(s) for s in "pbm"])
    assert closed[pressed].mean() > 0.7 and closed[~pressed].mean() < 0.15


def test_nobody_speaks_in_some_crops(config):
    data = SpeechDataset(replace(config, empty=1.0), 12)
    for k in range(12):
        one = data[k]
        assert (one.articulators[:, REST] > 0.99).all() and (one.phones == list(PHONES).index("_")).all()
    assert data.make(0).log.max() != data.make(1).log.max()


def test_validation_is_of_voices_that_are_never_trained_on(config):
    data = SpeechData(config, sounds=6, validation_sounds=3)
    trained, held = data.dataset(True), data.dataset(False)
    assert len(trained) == 6 and len(held) == 3
    assert {u.voice for u in held.cache}.isdisjoint(u.voice for u in trained.cache)
    assert all(u.held_out for u in held.cache)


def test_what_is_no_cache_and_no_crop_is_told(tmp_path, config):
    with pytest.raises(InputError, match="no speech"):
        SpeechDataset(SpeechDataConfig(str(tmp_path)), 3)
    with pytest.raises(InputError, match=r"data\.frames: 75, of sounds of 3 s; give 1 to 38"):
        SpeechDataset(replace(config, seconds=3.0), 3)
    with pytest.raises(InputError, match=r"data\.frames: 0, of sounds of 12 s; give 1 to 263"):
        SpeechDataset(replace(config, frames=0), 3)
