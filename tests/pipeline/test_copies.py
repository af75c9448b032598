"""A pipeline that was copied or pickled, or whose model was offloaded, cast or quantised, makes the clip."""

import copy
import pickle

import accelerate
import numpy as np
import pytest
import torch

from actalker import TalkingHeadPipeline


def quantised(pipe, folder):
    pipe.model = torch.ao.quantization.quantize_dynamic(pipe.model, {torch.nn.Linear}, dtype=torch.qint8)
    return pipe


def cast(pipe, folder):
    pipe.model.network.enable_layerwise_casting(torch.bfloat16, torch.float32)
    return pipe


def on_disk(pipe, folder):
    return accelerate.disk_offload(pipe.model, folder, torch.device("cpu")) and pipe


def in_memory(pipe, folder):
    return accelerate.cpu_offload(pipe.model, torch.device("cpu")) and pipe


WAYS = {
    "copied": (lambda pipe, _: copy.deepcopy(pipe), 0),
    "pickled": (lambda pipe, _: pickle.loads(pickle.dumps(pipe)), 0),
    "cpu": (in_memory, 1),
    "disk": (on_disk, 1),
    "cast": (cast, 40),
    "quantised": (quantised, 40),
}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("way", [pytest.param(w, marks=pytest.mark.slow) if w == "disk" else w for w in WAYS])
def test_the_clip_is_the_same(way, made, tmp_path):
    """Guided, so that what stands for nobody and for no signal is read too; to so many of 255."""
    change, limit = WAYS[way]

    def clip(pipe):
        pipe.set_progress_bar_config(disable=True)
        told = {"audio": made / "speech.wav", "text": "a woman | 0-0.2: smiles"}
        out = pipe(made / "face.png", **told, guidance={"audio": 2.0, "identity": 1.5}, duration=0.2, seed=1)
        return np.stack([np.asarray(frame) for frame in out.frames]).astype(int)

    expected = clip(TalkingHeadPipeline.from_pretrained(made / "model", device="cpu"))
    changed = change(TalkingHeadPipeline.from_pretrained(made / "model", device="cpu"), tmp_path)
    difference = np.abs(clip(changed) - expected)
    assert difference.max() <= limit and expected.std() > 10
    assert (difference.max() > 0) == (limit > 1) or limit == 1
