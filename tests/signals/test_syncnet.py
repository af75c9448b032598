"""SyncNet: its cepstra against the package that the reference uses, its search, and its weight file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actalker.errors import InputError
from actalker.signals.syncnet import SIDE, SyncNet, best_shift, load_syncnet, mfcc, sync_boxes, sync_score


@pytest.mark.parity
@pytest.mark.parametrize("count", [100, 400, 401, 4000, 16123])
def test_cepstra_are_those_of_the_package(count):
    package = pytest.importorskip("python_speech_features")
    samples = (np.random.default_rng(count).standard_normal(count) * 3000).astype(np.int16)
    np.testing.assert_allclose(mfcc(samples), package.mfcc(samples, 16000), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("late", [-15, -7, -1, 0, 1, 4, 15])
def test_a_shift_is_found_with_its_sign(late):
    """Sound vectors that stand `late` windows behind the lips they belong to."""
    generator = torch.Generator().manual_seed(0)
    both = torch.randn(140, 32, generator=generator)
    seen, heard = both[20:120], both[20 - late : 120 - late]
    score = best_shift(seen, heard)
    assert score.offset == -late and score.distance < 1.5 and score.confidence > 5
    brute = []
    for shift in range(-15, 16):
        rows = [
            torch.dist(seen[k], heard[k + shift] if 0 <= k + shift < 100 else torch.zeros(32))
            for k in range(100)
        ]
        brute.append(float(torch.stack(rows).mean()))
    assert score.distance == pytest.approx(min(brute), abs=1e-4)
    assert score.confidence == pytest.approx(float(np.median(brute)) - min(brute), abs=1e-4)


def test_a_weight_file_loads_by_its_names_and_others_are_refused(tmp_path):
    torch.manual_seed(0)
    net = SyncNet()
    torch.save(net.state_dict(), tmp_path / "syncnet_v2.model")
    loaded = load_syncnet(tmp_path / "syncnet_v2.model")
    assert set(loaded.state_dict()) >= {
        "netcnnaud.0.weight",
        "netcnnlip.0.weight",
        "netfcaud.3.bias",
        "netfclip.0.weight",
    }
    shapes = {name: tuple(value.shape) for name, value in loaded.state_dict().items()}
    assert shapes["netcnnlip.18.weight"] == (512, 256, 1, 6, 6) and shapes["netcnnaud.18.weight"] == (
        512,
        256,
        5,
        4,
    )
    crops = np.random.default_rng(0).integers(0, 255, (12, SIDE, SIDE, 3), dtype=np.uint8)
    score = sync_score(
        loaded, crops, np.random.default_rng(1).standard_normal(16000 // 2).astype(np.float32) * 0.1
    )
    again = sync_score(
        loaded, crops, np.random.default_rng(1).standard_normal(16000 // 2).astype(np.float32) * 0.1
    )
    assert score == again and np.isfinite([score.confidence, score.distance]).all()
    with pytest.raises(InputError, match="6 or more"):
        sync_score(loaded, crops[:5], np.zeros(16000, np.float32))
    for name, content in (("a.model", b"no weights"), ("b.model", b"\x80\x02.")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="holds no SyncNet weights"):
            load_syncnet(tmp_path / name)


def test_the_crop_is_wider_than_the_face_and_reaches_below_it():
    boxes = np.tile([40.0, 30.0, 80.0, 90.0], (20, 1))
    boxes[7] += 50  # one wrong frame is smoothed away
    x, y, side = sync_boxes(boxes).T
    assert np.allclose(x, 60 - 30 * 1.4) and np.allclose(y, 60 - 30) and np.allclose(side, 84)
