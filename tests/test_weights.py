"""Reading files of torch.save in both of its formats, and files that are none."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import pytest
import torch
from pipeline_files import small_model
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actalker.errors import InputError
from actalker.evaluation.facial import identity_net
from actalker.evaluation.perceptual import LPIPS, lpips_net
from actalker.signals.resnet import IdentityNet
from actalker.signals.syncnet import SyncNet, load_syncnet
from actalker.training.export import export
from actalker.weights import read_tensors, read_torch, undrawn


def saved(path: Path, content: object, new: bool = False) -> Path:
    """Writes a file of torch.save, in the format before version 1.6 if not `new`."""
    torch.save(content, path, _use_new_zipfile_serialization=new)
    assert (path.read_bytes()[:2] == b"PK") == new
    return path


@pytest.mark.parametrize("new", [False, True])
def test_tensors_come_back_from_both_formats(tmp_path, new):
    content = {"a": torch.randn(3, 4), "half": torch.ones(2).half(), "count": 3, "names": ["x"]}
    read = read_torch(saved(tmp_path / "a.pth", content, new))
    assert torch.equal(read["a"], content["a"]) and torch.equal(read["half"], content["half"])
    assert read["count"] == 3 and read["names"] == ["x"]
    wrapped = {"state_dict": {"module.conv.weight": content["a"]}}
    assert set(read_tensors(saved(tmp_path / "b.pth", wrapped, new))) == {"conv.weight"}


def without_counters(net: nn.Module) -> dict[str, torch.Tensor]:
    """Weights as torch wrote them before batch norms counted their batches."""
    return {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}


def test_every_reader_takes_the_old_format(tmp_path):
    torch.manual_seed(0)
    sync, who, looks = SyncNet(), IdentityNet((1, 1, 1, 1)), LPIPS("alex")
    read = load_syncnet(saved(tmp_path / "syncnet_v2.model", without_counters(sync)))
    assert torch.equal(read.netfclip[0].weight, sync.netfclip[0].weight)
    read = identity_net(saved(tmp_path / "backbone.pth", without_counters(who)))
    assert torch.equal(read.fc.weight, who.fc.weight)
    stack = {f"features.{k}": v for k, v in looks.features.state_dict().items()}
    stack["classifier.1.weight"] = torch.zeros(4, 4)  # torchvision's file has it
    lins = {f"lin{k}.model.1.weight": lin.weight.detach() for k, lin in enumerate(looks.lins)}
    read = lpips_net(saved(tmp_path / "alexnet.pth", stack), saved(tmp_path / "alex.pth", lins))
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(read.lins, looks.lins, strict=True))
    model = small_model()
    content = {
        "state_dict": {f"model.{k}": v for k, v in model.state_dict().items()},
        "model_config": model.config.as_dict(),
    }
    assert export(saved(tmp_path / "last.ckpt", content), tmp_path / "folder").is_dir()


class Program:
    """Runs when it is unpickled, unless nothing of it is run."""

    def __reduce__(self):
        return os.system, ("touch ran",)


NONE = {
    "a module": (
        lambda p: torch.save(nn.Linear(2, 2), p),
        "holds the program torch.nn.modules.linear.Linear",
    ),
    "a program": (lambda p: saved(p, {"a": Program()}), "holds the program posix.system, which is not run"),
    "a pickle": (lambda p: p.write_bytes(pickle.dumps(Program(), 2)), "not in torch's format|posix.system"),
    "TorchScript": (lambda p: torch.jit.script(nn.ReLU()).save(str(p)), "it is TorchScript"),
    "half": (lambda p: p.write_bytes(saved(p, {"a": torch.ones(99)}).read_bytes()[:-200]), "cut off"),
    "a half zip": (lambda p: p.write_bytes(saved(p, [torch.ones(99)], True).read_bytes()[:-200]), "cut off"),
    "a pointer": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\n"), "not in torch's"),
    "a page": (lambda p: p.write_text("<!DOCTYPE html><html></html>"), "not in torch's format"),
    "two bytes": (lambda p: p.write_bytes(b"\x80\x02"), "cut off"),
    "nothing": (lambda p: p.write_bytes(b""), "is empty"),
}


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("kind", NONE)
@pytest.mark.parametrize("reader", [read_torch, load_syncnet, identity_net, export], ids=lambda f: f.__name__)
def test_other_files_are_one_line_and_nothing_of_them_runs(tmp_path, monkeypatch, kind, reader):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "file.pth"
    write, says = NONE[kind]
    write(path)
    with pytest.raises(InputError) as caught:
        reader(path, tmp_path / "out") if reader is export else reader(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and re.search(says, line), line
    assert "weights_only" not in line and "\n" not in line and len(line) < 250 + len(str(path))
    assert os.listdir(tmp_path) == ["file.pth"]


def test_a_module_is_built_without_drawing_its_weights():
    """No random number is drawn, and torch's compiler, which draws on the meta device, is not asked."""
    before = torch.random.get_rng_state()
    calls = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            calls.append(func)
            return func(*args, **(kwargs or {}))

    with Watch():
        module = undrawn(lambda: nn.Sequential(nn.Linear(3, 4), nn.Embedding(5, 2), nn.Conv1d(2, 3, 1)))
    assert all(p.is_meta for p in module.parameters())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not {Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.uniform_} & set(calls)
