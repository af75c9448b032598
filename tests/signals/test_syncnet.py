"""SyncNet: its cepstra against the package that the reference uses, its search, and its weight file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import medfilt

from actalker.errors import InputError
from actalker.signals.syncnet import (
    SIDE,
    SyncNet,
    best_shift,
    load_syncnet,
    mfcc,
    sync_boxes,
    sync_crops,
    sync_score,
)


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
        with pytest.raises(InputError, match="is no SyncNet file"):
            load_syncnet(tmp_path / name)


def test_the_crop_is_wider_than_the_face_and_reaches_below_it():
    boxes = np.tile([40.0, 30.0, 80.0, 90.0], (20, 1))
    boxes[7] += 50  # one wrong frame is smoothed away
    assert np.array_equal(sync_boxes(boxes), np.tile([60 - 42, 60 - 30, 60 + 42, 60 + 54], (20, 1)))


def bilinear(part: np.ndarray) -> np.ndarray:
    """A picture at the network's size, sample by sample between the nearest four pixels' centres."""
    out = part.astype(float)
    for axis in (0, 1):
        count = out.shape[axis]
        place = np.clip((np.arange(SIDE) + 0.5) * count / SIDE - 0.5, 0, count - 1)
        low = np.minimum(place.astype(int), max(0, count - 2))
        share = (place - low).reshape([-1 if k == axis else 1 for k in range(3)])
        high = np.minimum(low + 1, count - 1)
        out = out.take(low, axis) * (1 - share) + out.take(high, axis) * share
    return out


def reference_parts(frames: np.ndarray, boxes: np.ndarray) -> list[np.ndarray]:
    """What the reference cuts out: a wide grey 110 border, then rows and columns in whole pixels."""
    half = medfilt(np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) / 2, 13)
    y, x = medfilt((boxes[:, 1] + boxes[:, 3]) / 2, 13), medfilt((boxes[:, 0] + boxes[:, 2]) / 2, 13)
    parts = []
    for k, frame in enumerate(frames):
        border = int(half[k] * 1.8)
        h, w = frame.shape[:2]
        wide = np.full((h + 2 * border, w + 2 * border, 3), 110, np.uint8)
        wide[border : border + h, border : border + w] = frame
        rows = slice(int(y[k] + border - half[k]), int(y[k] + border + half[k] * 1.8))
        columns = slice(int(x[k] + border - half[k] * 1.4), int(x[k] + border + half[k] * 1.4))
        parts.append(wide[rows, columns])
    return parts


CLIPS = {  # a face that drifts: inside the picture, beyond its edge, and larger than the picture
    "inside": (480, 640, (200.0, 120.3, 330.2, 270.9)),
    "over the edge": (128, 128, (30.2, 41.7, 97.5, 110.1)),
    "wider than the picture": (96, 90, (1.0, 2.5, 88.3, 95.9)),
}


@pytest.mark.parametrize("name", CLIPS)
def test_crops_and_scores_are_the_references(name):
    h, w, box = CLIPS[name]
    rng = np.random.default_rng(h)
    frames = rng.integers(0, 256, (16, h // 4, w // 4, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    frames = frames[:, :h, :w]
    drift = np.cumsum(rng.normal(0, 0.8, (16, 1)), 0) * [1, 0.5, 1, 0.5] + rng.normal(0, 0.3, (16, 4))
    boxes = np.array(box) + drift
    crops, parts = sync_crops(frames, boxes), reference_parts(frames, boxes)
    wanted = np.stack([bilinear(part) for part in parts])
    assert crops.shape == (16, SIDE, SIDE, 3) and np.abs(crops - wanted).max() <= 0.51
    outside = np.mean([(part == 110).all(2).mean() for part in parts])
    assert (outside > 0.05) == (name != "inside")
    torch.manual_seed(0)
    net, sound = SyncNet().eval(), rng.standard_normal(16000).astype(np.float32) * 0.1
    truth = sync_score(net, wanted.round().astype(np.uint8), sound)
    assert sync_score(net, crops, sound).distance == pytest.approx(truth.distance, rel=1e-4)


@pytest.mark.parity
@pytest.mark.parametrize("name", CLIPS)
def test_the_crops_size_is_that_of_opencv(name):
    cv2 = pytest.importorskip("cv2")
    h, w, box = CLIPS[name]
    frames = np.random.default_rng(h).integers(0, 256, (14, h, w, 3), dtype=np.uint8)
    boxes = np.tile(box, (14, 1))
    wanted = [cv2.resize(part, (SIDE, SIDE)) for part in reference_parts(frames, boxes)]
    apart = np.abs(sync_crops(frames, boxes) - np.array(wanted, float))
    assert apart.max() <= 1 and apart.mean() < 0.2  # its weights have eleven bits, and it cuts them off


def test_too_few_frames_for_a_score_are_said():
    with pytest.raises(InputError, match="6 frames are too short.*7 or more"):
        sync_crops([np.zeros((8, 8, 3), np.uint8)] * 6, np.tile([1.0, 1, 7, 7], (6, 1)))
