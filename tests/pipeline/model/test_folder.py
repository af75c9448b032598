"""The model folder: what is saved is what is loaded; the shipped models are whole and run."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from pipeline_files import small_model

from actalker.backbones.unet import ControlUNet
from actalker.errors import InputError
from actalker.heads.model import COEFFICIENTS
from actalker.heads.motion import HeadMotion
from actalker.pipeline import TalkingHeadPipeline
from actalker.pipeline.model.find import SHIPPED, find_model, shipped
from actalker.pipeline.model.folder import (
    INDEX,
    check_files,
    load_model,
    read_settings,
    save_model,
    write_index,
)
from actalker.pipeline.model.model import ModelConfig
from actalker.provenance import file_hash

MOST_BYTES = 40 * 10**6  # of a model that the package carries


def test_a_folder_gives_the_model_back(tmp_path):
    model = small_model()
    save_model(model, tmp_path / "a")
    read = load_model(tmp_path / "a")
    assert read.config == model.config
    for (name, a), (other, b) in zip(model.state_dict().items(), read.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(a, b), name
    assert not any(p.requires_grad for p in read.parameters())
    assert not read.training


def test_the_index_names_every_file_by_its_hash_and_saving_again_changes_none(tmp_path):
    save_model(small_model(), tmp_path / "a")
    files = check_files(tmp_path / "a")
    assert set(files) | {INDEX} == {str(p.relative_to(tmp_path / "a")) for p in (tmp_path / "a").rglob("*.*")}
    (tmp_path / "a" / "README.md").write_text("the card")
    save_model(load_model(tmp_path / "a"), tmp_path / "a")
    assert check_files(tmp_path / "a") == files
    assert (tmp_path / "a" / "README.md").read_text() == "the card"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_weights_may_be_stored_in_half_the_size(tmp_path):
    save_model(small_model(), tmp_path / "whole")
    save_model(small_model(), tmp_path / "half", torch.bfloat16)
    sizes = [sum(p.stat().st_size for p in (tmp_path / n).rglob("*.safetensors")) for n in ("half", "whole")]
    assert 0.45 < sizes[0] / sizes[1] < 0.55
    a, b = (load_model(tmp_path / name).state_dict() for name in ("half", "whole"))
    assert all(torch.allclose(a[k].float(), b[k].float(), rtol=2**-7, atol=1e-6) for k in a)


def test_other_files_in_the_folder_do_not_matter(made, tmp_path):
    save_model(small_model(), tmp_path / "a")
    (tmp_path / "a" / ".gitattributes").write_text("x")
    (tmp_path / "a" / "notes.txt").write_text("x")
    load_model(tmp_path / "a")


def test_a_save_that_fails_leaves_the_old_folder(tmp_path, monkeypatch):
    save_model(small_model(), tmp_path / "a")
    before = check_files(tmp_path / "a")
    (tmp_path / "a.part").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        save_model(small_model(overlap=1), tmp_path / "a")
    assert check_files(tmp_path / "a") == before


def in_old_form(folder) -> None:
    """A folder as the first version wrote it: other names of weights and class, nothing for diffusers."""
    (folder / "pipeline.py").unlink()
    (folder / "denoiser/diffusion_pytorch_model.safetensors").rename(folder / "denoiser/model.safetensors")
    files = {
        str(p.relative_to(folder)): file_hash(p) for p in folder.rglob("*") if p.is_file() and p.name != INDEX
    }
    index = {"_class_name": ["actalker.pipeline", "TalkingHeadPipeline"], "format": 1, "files": files}
    (folder / INDEX).write_text(json.dumps(index))


def test_folders_of_the_first_version_are_read(tmp_path):
    model = small_model()
    save_model(model, tmp_path / "a")
    in_old_form(tmp_path / "a")
    read = load_model(tmp_path / "a").state_dict()
    assert all(torch.equal(value, read[name]) for name, value in model.state_dict().items())


def with_settings(folder, idle=True):
    """Settings of an older version, in both of its files: where they did nothing, or in use."""
    network = {"flow_scale": 0.0 if idle else 1.0, "stride": 8, "detail_width": 0}
    whole = json.loads((folder / "config.json").read_text())
    whole["denoiser_args"] |= network
    whole["precondition"]["centre"] = "zero"
    (folder / "config.json").write_text(json.dumps(whole))
    own = json.loads((folder / "denoiser/config.json").read_text())
    (folder / "denoiser/config.json").write_text(json.dumps({**own, **network}))
    write_index(folder)


def test_settings_that_did_nothing_in_older_versions_are_taken(tmp_path, monkeypatch, caplog):
    model = small_model()
    save_model(model, tmp_path / "a")
    with_settings(tmp_path / "a")
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    assert read_settings(tmp_path / "a") == load_model(tmp_path / "a").config == model.config
    network = ControlUNet.from_pretrained(tmp_path / "a", subfolder="denoiser")
    own = {name for name in model.network.config if name[0] != "_"}
    assert {name for name in network.config if name[0] != "_"} == own
    assert not caplog.records, caplog.text


def test_models_that_warped_the_portrait_are_of_an_older_version(tmp_path):
    save_model(small_model(), tmp_path / "a")
    with_settings(tmp_path / "a", idle=False)
    says = "model setting flow_scale 1.0: the model is of an older version"
    for read in (load_model, read_settings):
        with pytest.raises(InputError, match=says):
            read(tmp_path / "a")
    with pytest.raises(InputError, match=says):
        ControlUNet.from_pretrained(tmp_path / "a", subfolder="denoiser")
    around = {**small_model().config.as_dict(), "precondition": {"sigma_data": 0.2, "centre": "reference"}}
    with pytest.raises(InputError, match="centre reference: the model is of an older version"):
        ModelConfig.from_dict(around)


def test_diffusers_opens_a_folder(made, tmp_path):
    """The denoiser by its class, the pipeline where its file may be run; else the line names what to pass."""
    folder = made / "model"
    pipe = TalkingHeadPipeline.from_pretrained(folder, device="cpu")
    network = ControlUNet.from_pretrained(folder, subfolder="denoiser").state_dict()
    assert network.keys() == pipe.model.network.state_dict().keys()
    assert all(torch.equal(value, network[key]) for key, value in pipe.model.network.state_dict().items())
    with pytest.raises(ValueError, match="Pass `trust_remote_code=True`"):
        DiffusionPipeline.from_pretrained(folder)
    found = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
    assert type(found) is TalkingHeadPipeline and found.hashes == pipe.hashes
    given = {"portrait": made / "face.png", "text": "smiles", "duration": 0.2}
    assert np.array_equal(found(**given).frames, pipe(**given).frames)


def test_variants_and_shards_are_named_as_diffusers_names_them(made, tmp_path):
    pipe = TalkingHeadPipeline.from_pretrained(made / "model", device="cpu")
    held = pipe.model.state_dict()
    pipe.save_pretrained(tmp_path / "a", variant="fp16", max_shard_size="400KB")
    names = {p.name for p in (tmp_path / "a/denoiser").iterdir()} - {"config.json"}
    count = len(names) - 1
    assert count > 1 and names == {
        "diffusion_pytorch_model.safetensors.index.fp16.json",
        *(f"diffusion_pytorch_model.fp16-{k + 1:05}-of-{count:05}.safetensors" for k in range(count)),
    }
    for state in (
        TalkingHeadPipeline.from_pretrained(tmp_path / "a", variant="fp16", device="cpu").model.state_dict(),
        {
            f"network.{key}": value
            for key, value in ControlUNet.from_pretrained(
                tmp_path / "a", subfolder="denoiser", variant="fp16"
            )
            .state_dict()
            .items()
        },
    ):
        assert all(torch.equal(value, held[key]) for key, value in state.items())
    with pytest.raises(InputError, match="has no weights of variant 'bf16'; it has denoiser/diffusion"):
        TalkingHeadPipeline.from_pretrained(tmp_path / "a", variant="bf16")
    with pytest.raises(InputError, match="diffusion_pytorch_model.safetensors: is not listed"):
        TalkingHeadPipeline.from_pretrained(tmp_path / "a")
    with pytest.raises(InputError, match="max_shard_size 'large'"):
        pipe.save_pretrained(tmp_path / "b", max_shard_size="large")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_model_of_the_hub_is_taken_at_its_revision(made, tmp_path):
    """The cache of huggingface_hub, as two downloads have left it: nothing is fetched."""
    cache = tmp_path / "models--who--what"
    for k, (revision, overlap) in enumerate({"main": 2, "v1": 1}.items()):
        commit = f"{k:040x}"
        save_model(small_model(overlap=overlap), cache / "snapshots" / commit / "inner")
        (cache / "refs").mkdir(exist_ok=True)
        (cache / "refs" / revision).write_text(commit)
    for revision, overlap in ((None, 2), ("v1", 1), (f"{1:040x}", 1)):
        pipe = TalkingHeadPipeline.from_pretrained(
            "who/what", subfolder="inner", revision=revision, cache_dir=tmp_path, local_files_only=True
        )
        assert pipe.model.config.overlap == overlap and pipe.name == "who/what"
    with pytest.raises(InputError, match="did not give it at revision 'v2'"):
        TalkingHeadPipeline.from_pretrained(
            "who/what", revision="v2", cache_dir=tmp_path, local_files_only=True
        )
    with pytest.raises(InputError, match="has no folder 'outer'"):
        TalkingHeadPipeline.from_pretrained(
            "who/what", subfolder="outer", cache_dir=tmp_path, local_files_only=True
        )


def test_names_that_are_no_model_are_refused(tmp_path):
    for name, says in (("tinny", "model 'tinny' is unknown"), ("some/where/else", "no such folder")):
        with pytest.raises(InputError, match=says):
            find_model(name)
    with pytest.raises(InputError, match="the hub did not give it"):
        find_model("no-such-owner/no-such-model")


def take(f=5):
    """A mouth that opens."""
    names = np.zeros((f, 54))
    names[:, COEFFICIENTS.index("jawOpen")] = np.linspace(0, 0.5, f)
    return HeadMotion(
        np.arange(f) / 25, names, np.zeros((f, 6)), np.zeros((f, 2)), np.ones(f), np.zeros(f, int)
    )


@pytest.mark.parametrize("name", shipped() or [None])
def test_a_shipped_model_is_whole_small_and_runs(name, made):
    if name is None:
        pytest.skip(f"no model in {SHIPPED}")
    assert find_model(name) == SHIPPED / name
    assert sum(p.stat().st_size for p in (SHIPPED / name).rglob("*")) <= MOST_BYTES
    assert (SHIPPED / name / "README.md").is_file()
    config = json.loads((SHIPPED / name / "config.json").read_text())
    assert (config["fps"], config["size"] >= 128, config["window"] >= 14) == (25, True, True)
    pipe = TalkingHeadPipeline.from_pretrained(name, device="cpu")
    pipe.set_progress_bar_config(disable=True)
    given = {"audio": made / "speech.wav"} if "audio" in pipe.model.encoders else {"expression": take()}
    frames = pipe(portrait=made / "face.png", **given, duration=0.2, steps=1).frames
    portrait = pipe.prepare(made / "face.png", **given).inputs.portrait.picture
    assert abs(frames.astype(float) - portrait).mean() < 30  # the person, not noise
