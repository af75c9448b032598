"""What a killed process, a full disk and a signal leave of a training."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from models import small_model
from training_runs import ROOT, config, fit, launch, start, wait_for

from actalker.cli.main import main
from actalker.errors import InputError
from actalker.training.checkpoints import PART, WholeCheckpoints, check_fits, find_last, read_checkpoint
from actalker.training.module import TrainingModule
from actalker.training.optimizer import OptimizerConfig

TINY = str(ROOT / "configs/tiny.yaml")


def test_a_process_killed_while_it_saves_leaves_a_whole_checkpoint(tmp_path, monkeypatch):
    """Killed at a random moment, again and again; nothing goes through TMPDIR, which is not there."""
    monkeypatch.setenv("TMPDIR", "/nowhere")
    path, moments = tmp_path / "last.ckpt", random.Random(0)
    WholeCheckpoints().save_checkpoint({"step": 0, "weights": torch.zeros(10)}, path)
    for _ in range(12):
        child = os.fork()
        if child == 0:
            for step in range(1, 10**6):
                held = {"step": step, "weights": torch.full((1_000_000,), float(step))}
                WholeCheckpoints().save_checkpoint(held, path)
        time.sleep(0.02 + 0.05 * moments.random())
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        held = torch.load(path, weights_only=True)
        assert (held["weights"] == held["step"]).all()
        assert {p.name for p in tmp_path.iterdir()} <= {path.name, path.name + PART}
        assert find_last(tmp_path) == path


def test_a_full_disk_is_one_line_and_leaves_the_checkpoint_before(tmp_path):
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"step": 1}, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # no file of this process may be larger
    try:
        with pytest.raises(InputError, match=r"last.ckpt: the checkpoint cannot be written \(File too large"):
            WholeCheckpoints().save_checkpoint({"step": 2, "weights": torch.zeros(10**6)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_what_is_no_checkpoint_to_go_on_from_is_told_in_one_line(tmp_path, capsys):
    whole = {"model_config": {}, "state_dict": {"weight": torch.zeros(1000)}}
    torch.save(whole, tmp_path / "whole.ckpt")
    content = (tmp_path / "whole.ckpt").read_bytes()
    for name, held in {
        "text": b"no checkpoint",
        "empty": b"",
        "cut": content[:-200],
        "head": content[:99],
    }.items():
        (tmp_path / f"{name}.ckpt").write_bytes(held)
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    (tmp_path / "folder.ckpt").mkdir()
    assert read_checkpoint(tmp_path / "whole.ckpt")["state_dict"].keys() == {"weight"}
    for name in ("missing", "text", "empty", "cut", "head", "foreign", "folder"):
        with pytest.raises(InputError, match=rf"/{name}\.ckpt: [^\n]*$"):
            read_checkpoint(tmp_path / f"{name}.ckpt")
    with pytest.raises(InputError, match="whole.ckpt: is of another model: .* with --model.start"):
        check_fits(tmp_path / "whole.ckpt", whole, small_model())
    run = ["train", "fit", "--config", TINY, "--run", str(tmp_path / "a/run"), "--ckpt_path"]
    for given, says in {
        str(tmp_path / "missing.ckpt"): "missing.ckpt: no such checkpoint",
        str(tmp_path / "cut.ckpt"): "cut.ckpt: is no training checkpoint (it is cut off",
        "last": f"there is no checkpoint in {tmp_path}/a/run/checkpoints; ",
        "best": "--ckpt_path best: not kept by name here",
    }.items():
        assert main([*run, given]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1 and says in said
    assert not (tmp_path / "a").exists()


def test_sigterm_leaves_a_checkpoint_from_which_the_run_goes_on(tmp_path):
    """The steps that were done are not done again; a second run does not overwrite the first."""
    settings = config(tmp_path, 500)
    settings["checkpoint"] = {"every_n_steps": 3}
    settings["trainer"]["default_root_dir"] = None
    settings["run"] = str(tmp_path / "läuft")
    last = tmp_path / "läuft/checkpoints/last.ckpt"
    process = launch(tmp_path, settings)
    wait_for(last, process)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 143 and "Traceback" not in said
    step = torch.load(last, weights_only=True)["global_step"]
    assert step >= 3 and said.splitlines()[-1] == (
        f"SIGTERM after step {step}: the checkpoint is {last}; go on with --ckpt_path last"
    )
    module = TrainingModule.load_from_checkpoint(last)  # neither a trainer nor arguments
    held = torch.load(last, weights_only=True)["state_dict"]
    assert all(torch.equal(value, held[name]) for name, value in module.state_dict().items())
    assert module.optimizer == OptimizerConfig(learning_rate=1e-3, warmup=2, steps=100, cooldown=10)
    assert module.strategy.window.short_items == 3 and module.hparams["objective"]["region_weight"] == 2.0
    refused = main(["train", "fit", "--config", str(tmp_path / "run.yaml")])
    assert refused == 2 and torch.load(last, weights_only=True)["global_step"] == step


@pytest.mark.slow
def test_a_run_that_was_ended_has_the_weights_of_one_in_one_go(tmp_path):
    """Ended in a step by Ctrl-C, then in a validation by SIGUSR1."""
    settings = config(tmp_path / "parts", 12)
    settings["trainer"] |= {"limit_val_batches": 1, "val_check_interval": 6, "check_val_every_n_epoch": None}
    whole = config(tmp_path / "whole", 12)
    whole["trainer"] |= {"limit_val_batches": 1, "val_check_interval": 6, "check_val_every_n_epoch": None}
    assert start(tmp_path / "whole", whole).returncode == 0
    folder = tmp_path / "parts"
    process = launch(folder, settings)
    wait_for(folder / "checkpoints/last.ckpt", process)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 130 and "Ctrl-C after step" in said, said
    settings["samples"] = {"clips": 20}  # takes long enough to be met
    process = launch(folder, settings, "--ckpt_path", "last", "--checkpoint.every_n_steps", "6")
    while process.poll() is None:
        if (folder / "checkpoints/last.ckpt").exists():
            held = torch.load(folder / "checkpoints/last.ckpt", weights_only=True, mmap=True)
            if held["global_step"] == 6:
                break
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 138 and "SIGUSR1 after step 6:" in said, said
    settings["samples"] = {"clips": 0}
    assert start(folder, settings, "--ckpt_path", "last").returncode == 0
    one, other = (torch.load(tmp_path / name / "checkpoints/last.ckpt") for name in ("whole", "parts"))
    assert one["global_step"] == other["global_step"] == 12
    for kept in ("state_dict", "averaged_weights"):
        for name, value in one[kept].items():
            assert torch.equal(other[kept][name], value), (kept, name)


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(tmp_path):
    settings = config(tmp_path, 500)
    settings["trainer"]["accumulate_grad_batches"] = 1
    process = launch(tmp_path, settings)
    wait_for(tmp_path / "checkpoints/last.ckpt", process)
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    time.sleep(0.31)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert fit(tmp_path, 500, "--ckpt_path", "last", "--steps", "1").exists()


@pytest.mark.slow
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("kills", [int(os.environ.get("ACTALKER_KILLS", "3"))])
@pytest.mark.parametrize("place", ["one file system", "two file systems"])
def test_a_run_killed_while_it_saves_goes_on(tmp_path, place, kills, monkeypatch):
    """Each time at a random moment of saving; the next start goes on from the last whole checkpoint.

    ACTALKER_KILLS: how many times on each place.
    """
    folder = tmp_path / "run"
    if place == "two file systems":
        if not os.access("/dev/shm", os.W_OK):
            pytest.skip("there is no second file system")
        folder = Path("/dev/shm") / f"actalker-{os.getpid()}"
    moments, settings = random.Random(kills), config(folder, 100_000)
    settings["data"]["init_args"]["steps"] = 100_000
    last, steps = folder / "checkpoints/last.ckpt", [0]
    part = last.with_name(last.name + PART)
    try:
        for _ in range(kills):
            process = launch(folder, settings, "--ckpt_path", "last-if-any")
            skip = moments.randrange(4)
            seen = 0
            while process.poll() is None:
                if part.exists():
                    if seen >= skip:
                        time.sleep(0.15 * moments.random())
                        break
                    seen += 1
                    while part.exists():
                        time.sleep(0.001)
            assert process.poll() is None, process.communicate()[1]
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if last.exists():
                held = torch.load(last, weights_only=True)
                assert held["global_step"] >= steps[-1]
                steps.append(held["global_step"])
        assert steps[-1] > kills / 2
    finally:
        if folder.is_relative_to("/dev/shm"):
            shutil.rmtree(folder, ignore_errors=True)
