"""The model folder: what is saved is what is loaded; the shipped models are whole and run."""

from __future__ import annotations

import json

import pytest
import torch
from pipeline_files import small_model

from actalker.errors import InputError
from actalker.pipeline import TalkingHeadPipeline
from actalker.pipeline.find import SHIPPED, find_model, shipped
from actalker.pipeline.folder import INDEX, check_files, load_model, save_model

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


def test_names_that_are_no_model_are_refused(tmp_path):
    for name, says in (("tinny", "model 'tinny' is unknown"), ("some/where/else", "no such folder")):
        with pytest.raises(InputError, match=says):
            find_model(name)
    with pytest.raises(InputError, match="the hub did not give it"):
        find_model("no-such-owner/no-such-model")


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
    frames = pipe(portrait=made / "face.png", audio=made / "speech.wav", duration=0.2, steps=1).frames
    portrait = pipe.prepare(made / "face.png", audio=made / "speech.wav").inputs.portrait.picture
    assert abs(frames.astype(float) - portrait).mean() < 30  # the person, not noise
