"""Prepared shards as training samples: the right frames, sound and text at the right times, in any order."""

from __future__ import annotations

import gc
import io
import tarfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from arrays import check_same, of

from actalker.data.clips import ClipDataConfig, ClipDataset, _motion, read_pictures
from actalker.data.members import read_meta
from actalker.data.module import ClipData
from actalker.data.shards import read_index
from actalker.errors import InputError
from actalker.faces.crop import Crop
from actalker.signals.audio import mel_features

FRAMES = 6


def config(root: Path, **more: object) -> ClipDataConfig:
    plain = {
        "shards": str(root / "encoded/shards"),
        "frames": FRAMES,
        "size": 48,
        "driver_size": 32,
        "held_out": 0.0,
    }
    return ClipDataConfig(**{**plain, **more})  # type: ignore[arg-type]


def test_every_clip_is_in_the_index_once(prepared):
    for kind in ("encoded", "decoded"):
        found = read_index(str(prepared / kind / "shards"))
        assert len(found) == 6
        assert all(("pixels.npy" in clip.members) == (kind == "decoded") for clip in found)
        for clip in found:
            for suffix in clip.members:
                with tarfile.open(clip.place.address) as tar:
                    own = tar.extractfile(f"{clip.key}.{suffix}").read()
                assert clip.read(suffix)[suffix] == own == clip.part(suffix, 0, len(own) + 9)


def test_a_window_is_the_clips_frames_sound_and_gates(prepared):
    """Against the files themselves, cut by hand."""
    data = ClipDataset(config(prepared))
    for place in range(18):
        sample = data[place]
        clip = data.clips[place % 6]
        meta = read_meta(clip.read("json")["json"])
        pictures = read_pictures(clip, range(meta["frames"]))
        driving = np.stack([_crop(clip, picture) for picture in pictures])
        crops = of(sample, "expression.crops").permute(0, 2, 3, 1).numpy()
        last = meta["frames"] - FRAMES
        starts = [k for k in range(last + 1) if np.array_equal(driving[k : k + FRAMES], crops)]
        assert np.array_equal(of(sample, "expression.rest").permute(1, 2, 0).numpy(), driving[0])
        sound = np.frombuffer(clip.read("wav")["wav"][44:], "<i2")
        assert len(sound) == 640 * meta["frames"] and sound.any() == meta["sound"]
        if meta["sound"]:  # tells apart starts that look the same
            mono = sound.astype(np.float32) / 32768
            whole = torch.from_numpy(mel_features(mono, Fraction(25), meta["frames"])).half()
            starts = [
                k
                for k in starts
                if torch.allclose(of(sample, "audio.features"), whole[k : k + FRAMES], atol=1e-3)
            ]
        else:
            assert (of(sample, "audio.features") == -1).all() and (sample.gates[0] == 0).all()
        assert starts
        if not meta["script"]["base"]:
            assert (sample.gates[2] == 0).all()
        assert sample.gates.amax() == 1 and set(sample.gates.unique().tolist()) <= {0.0, 1.0}
        assert sample.frames.shape == (FRAMES, 3, 48, 48) and (sample.face >= sample.mouth).all()
        inside = of(sample, "text.timing")[:, :, 0].numpy().any(axis=1)
        phases = [(phase["start"], phase["end"]) for phase in meta["script"]["phases"]]
        spoken = [[any(a <= (k + j) / 25 < b for a, b in phases) for j in range(FRAMES)] for k in starts]
        assert inside.tolist() in spoken


def test_a_windows_motion_is_that_of_its_landmarks():
    """A face that shifts to the right by its own diagonal, in two frames of four; nothing in it moves."""
    marks = np.random.default_rng(0).uniform(0, 30, (478, 2))
    shift = float(np.linalg.norm(np.ptp(marks, axis=0)))
    features = {"landmarks": np.stack([marks, marks, marks + (shift, 0), marks + (shift, 0)])}
    off = _motion(features, "mediapipe478", [1, 2])
    assert off == (128.0, 0.0)  # half a diagonal off the mean, times 256
    assert _motion(features, "mediapipe478", [0, 1]) == (0.0, 0.0)
    assert _motion({}, None, [0, 1]) == (0.0, 0.0)


def _crop(clip, picture: np.ndarray) -> np.ndarray:
    with np.load(io.BytesIO(clip.read("npz")["npz"])) as features:
        x, y, side = (float(v) for v in features["crop"])
    return Crop(x, y, side).apply(picture, 32)


def test_decoded_frames_are_those_of_the_video(prepared):
    one, two = (
        ClipDataset(config(prepared)),
        ClipDataset(config(prepared, shards=str(prepared / "decoded/shards"))),
    )
    for place in range(6):
        check_same(one[place], two[place])


def test_a_sample_is_a_function_of_seed_and_place(prepared):
    data, again = ClipDataset(config(prepared)), ClipDataset(config(prepared))
    assert torch.equal(of(data[7], "expression.crops"), of(again[7], "expression.crops"))
    assert not torch.equal(of(data[1], "expression.crops"), of(data[7], "expression.crops")), (
        "another pass, another window"
    )
    other = ClipDataset(config(prepared, seed=1))
    assert any(
        not torch.equal(of(data[k], "expression.crops"), of(other[k], "expression.crops")) for k in range(6)
    )


def test_clips_without_any_of_the_signals_are_left_out(prepared):
    """Speech alone is asked for: a clip without sound shows nothing of it, another stands for it."""
    data = ClipDataset(config(prepared, signals=("audio",)))
    for place in range(6):
        sample = data[place]
        assert sample.names() == ["audio"] and sample.arrays.keys() == {"audio"}
        assert (of(sample, "audio.features") > -1).any() and (sample.gates > 0).any()
    silent = [k for k, clip in enumerate(data.clips) if not read_meta(clip.read("json")["json"])["sound"]]
    assert len(silent) == 1 and data.damaged.nonzero()[:, 0].tolist() == silent
    with pytest.raises(InputError, match="signal of the data 'sway' is unknown"):
        ClipDataset(config(prepared, signals=("sway",)))[0]


def test_workers_do_not_change_the_order(prepared):
    batches = []
    for workers in (0, 2):
        module = ClipData(config(prepared), batch_size=2, steps=6, workers=workers)
        batches.append([(batch.index, of(batch, "expression.crops")) for batch in module.train_dataloader()])
    for (index, crops), (other, more) in zip(*batches, strict=True):
        assert torch.equal(index, other) and torch.equal(crops, more)


def test_held_out_people_are_never_trained_on(prepared):
    for share in (0.3, 0.5, 0.8):
        try:
            parts = [ClipDataset(config(prepared, held_out=share), training) for training in (True, False)]
        except InputError as error:
            assert "no clip for" in str(error)
            continue
        names = [{data.name(k) for k in range(len(data))} for data in parts]
        assert not names[0] & names[1] and len(names[0] | names[1]) == 6


def test_a_stride_takes_every_second_frame(prepared):
    data = ClipDataset(config(prepared, stride=2))
    for place in range(12):
        rows, reference, stride = data._rows(25, torch.Generator().manual_seed(place))
        assert stride == 2 and rows == list(range(rows[0], rows[0] + 2 * FRAMES - 1, 2)) and rows[0] % 2 == 0
        assert 0 <= reference < 25
        assert rows[-1] < 25
    short = ClipDataset(replace(data.config, frames=13))
    assert short._rows(25, torch.Generator())[2] == 1


def test_what_holds_no_clips_is_refused(prepared, tmp_path):
    with pytest.raises(InputError, match="holds no shards"):
        ClipDataset(ClipDataConfig(shards=str(tmp_path)))
    (tmp_path / "a.tar").write_bytes(b"no tar file at all" * 100)
    with pytest.raises(InputError, match="no whole tar file"):
        ClipDataset(ClipDataConfig(shards=str(tmp_path)))
    with tarfile.open(tmp_path / "a.tar", "w"):
        pass
    with pytest.raises(InputError, match="hold no clips"):
        ClipDataset(ClipDataConfig(shards=str(tmp_path)))
    with pytest.raises(InputError, match="no clip for training with 600 frames"):
        ClipDataset(config(prepared, frames=600))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_reader_of_the_web_finds_the_same(prepared):
    """The shards are WebDataset's: its own reader gives the same clips."""
    webdataset = pytest.importorskip("webdataset")
    tars = sorted(str(path) for path in (prepared / "decoded/shards").glob("*.tar"))
    found = list(webdataset.WebDataset(tars, shardshuffle=False))
    assert len(found) == 6
    assert all({"json", "npz", "mp4", "wav", "pixels.npy"} <= set(one) for one in found)
    whole = list(webdataset.WebDataset(tars, shardshuffle=False).to_tuple("mp4", "wav", "json"))
    assert len(whole) == 6, "also the clip without sound"
    gc.collect()  # it leaves files open


def test_the_script_of_the_documentation_runs(prepared, capsys):
    page = (Path(__file__).parents[2] / "docs/data.md").read_text()
    (script,) = [part.split("```")[0] for part in page.split("```python\n")[1:]]
    place = '"data/mine/shards"'
    assert place in script
    exec(script.replace(place, repr(str(prepared / "decoded/shards"))), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10 and all("torch.Size([2, 14, 3, 128, 128])" in line for line in lines)
    assert all("['audio', 'expression', 'text']" in line and ".mp4" in line for line in lines)
