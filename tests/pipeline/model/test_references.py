"""Parts of a model folder that lie elsewhere, and that what is loaded is what the files hold."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
import torch
from pipeline_files import small_model
from safetensors.torch import load_file, save_file
from torch import nn

from actalker import provenance
from actalker.errors import InputError
from actalker.pipeline.model.folder import check_files, load_model, save_model
from actalker.pipeline.model.parts import STEMS, write_weights
from actalker.weights import fill, undrawn


@pytest.fixture()
def elsewhere(tmp_path):
    """A model, and its network's and its text encoder's weights as files of others."""
    model = small_model()
    (tmp_path / "others" / "denoiser").mkdir(parents=True)
    write_weights(model.network.state_dict(), tmp_path / "others" / "denoiser", shard="400KB")
    torch.save(model.encoders["text"].state_dict(), tmp_path / "others" / "text.pth")
    save_model(
        model,
        tmp_path / "a",
        references={
            "denoiser": tmp_path / "others" / "denoiser",
            "encoders/text": tmp_path / "others" / "text.pth",
        },
    )
    return model, tmp_path


def test_a_part_may_lie_elsewhere_and_the_model_is_the_same(elsewhere):
    model, root = elsewhere
    assert {p.name for p in (root / "a/denoiser").iterdir()} == {"config.json", "references.json"}
    assert not any(name.startswith("text.") for name in load_file(root / "a/encoders/model.safetensors"))
    read, own = load_model(root / "a").state_dict(), model.state_dict()
    assert read.keys() == own.keys() and all(torch.equal(value, read[name]) for name, value in own.items())
    (root / "a").rename(root / "b")  # beside the other folder, as before
    for part in ("denoiser", "encoders"):
        path = root / "b" / part / "references.json"
        entries = json.loads(path.read_text())
        for entry in entries:
            entry["source"] = entry["source"].replace(str(root), "..")
        path.write_text(json.dumps(entries))
    from actalker.pipeline.model.folder import write_index

    write_index(root / "b")
    again = load_model(root / "b").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in own.items())


def test_a_file_elsewhere_that_is_missing_or_another_is_refused_in_one_line(elsewhere):
    model, root = elsewhere
    file = root / "others" / "text.pth"
    torch.save({name: value + 1 for name, value in model.encoders["text"].state_dict().items()}, file)
    with pytest.raises(InputError, match=r"text\.pth: is not the file that .*references\.json refers to"):
        load_model(root / "a")
    file.unlink()
    with pytest.raises(InputError, match=r"text\.pth: missing; .*references\.json refers to it") as caught:
        load_model(root / "a")
    assert "\n" not in str(caught.value)
    (root / "a/encoders/references.json").write_text("[]")
    with pytest.raises(InputError, match=r"references\.json: changed since the model was saved"):
        load_model(root / "a")


def test_a_reference_to_other_weights_than_the_models_is_refused(tmp_path):
    model = small_model()
    other = {name: value + 1 for name, value in model.network.state_dict().items()}
    save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"other\.safetensors: .* has other values in the model"):
        save_model(model, tmp_path / "a", references={"denoiser": tmp_path / "other.safetensors"})
    with pytest.raises(InputError, match="is not in the model"):
        save_model(model, tmp_path / "a", references={"denoiser/up": tmp_path / "other.safetensors"})
    with pytest.raises(InputError, match="part of a model 'decoder' is unknown"):
        save_model(model, tmp_path / "a", references={"decoder": tmp_path / "other.safetensors"})
    assert [p.name for p in tmp_path.iterdir()] == ["other.safetensors"]


def test_a_relative_reference_is_written_as_seen_from_the_model_folder(tmp_path, monkeypatch):
    model, others = small_model(), tmp_path / "others" / "denoiser"
    others.mkdir(parents=True)
    write_weights(model.network.state_dict(), others)
    monkeypatch.chdir(tmp_path)
    save_model(model, tmp_path / "models" / "a", references={"denoiser": "others/denoiser"})
    monkeypatch.chdir(others)
    read = load_model(tmp_path / "models" / "a").state_dict()
    assert all(torch.equal(value, read[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["tiny", "direct"])
def test_loaded_weights_are_the_files_and_computed_buffers_those_of_a_new_model(name):
    from actalker.pipeline.model.find import find_model
    from actalker.pipeline.model.model import TalkingHeadModel

    model = load_model(name)
    for part, module in model.parts():
        path = find_model(name) / part / f"{STEMS[part][0]}.safetensors"
        held = load_file(path) if path.is_file() else {}
        assert held.keys() == module.state_dict().keys()
        assert all(torch.equal(value, held[key]) for key, value in module.state_dict().items()), part
    new = TalkingHeadModel(model.config)
    kept = model.state_dict().keys()
    computed = {key: value for key, value in new.named_buffers() if key not in kept}
    assert computed and all(torch.equal(dict(model.named_buffers())[key], v) for key, v in computed.items())


class Forgetful(nn.Module):
    """Has a tensor that no file holds and that depends on a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3))
        self.doubled = self.weight.detach() * 2


def test_a_tensor_without_a_value_is_refused():
    module = undrawn(Forgetful)
    with pytest.raises(InputError, match=r"^a\.pth: 1 tensors of Forgetful .* the first is doubled"):
        fill(module, {"weight": torch.ones(3)}, "a.pth")
    module = undrawn(lambda: nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    fill(module, {**nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).state_dict()}, "b.pth")
    assert module(torch.zeros(2, 2)).isfinite().all()


def test_a_loaded_model_does_not_change_with_its_file(tmp_path):
    save_model(small_model(), tmp_path / "a")
    model = load_model(tmp_path / "a")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = tmp_path / "a/denoiser/diffusion_pytorch_model.safetensors"
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\0" * (path.stat().st_size - 4096))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_every_file_of_a_folder_is_hashed_once(monkeypatch):
    read = []
    monkeypatch.setattr(provenance, "_hashes", {})
    digest = provenance._digest
    monkeypatch.setattr(provenance, "_digest", lambda file: (read.append(file.name), digest(file))[1])
    from actalker.pipeline import TalkingHeadPipeline

    TalkingHeadPipeline.from_pretrained("tiny", device="cpu")
    from actalker.pipeline.model.find import find_model

    assert len(read) == len(set(read)) == len(check_files(find_model("tiny")))


def test_a_file_that_changes_is_hashed_again(tmp_path, monkeypatch):
    """Even where its size and, by a coarse clock, its times stay."""
    path = tmp_path / "a"
    path.write_bytes(b"0" * 9)
    state = os.stat(path)
    monkeypatch.setattr(provenance.os, "stat", lambda *_, **__: state)
    for content in (b"0" * 9, b"1" * 9):
        path.write_bytes(content)
        assert provenance.file_hash(path) == f"sha256:{hashlib.sha256(content).hexdigest()}"
