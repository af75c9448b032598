"""What people who know Lightning expect: commands, options, hyper-parameters, numbers over processes."""

from __future__ import annotations

import csv
import dataclasses
import inspect
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest
import torch
from jsonargparse import Namespace
from models import SMALL
from training_runs import ROOT, config, launch, start, wait_for

from actalker.data.module import SharedBatches
from actalker.data.sample import Sample
from actalker.data.workers import Shared, workers_that_fit
from actalker.errors import InputError
from actalker.pipeline.model.folder import load_model, save_model
from actalker.pipeline.model.model import ModelConfig, TalkingHeadModel
from actalker.training.means import StepMeans
from actalker.training.module import StrategyConfig
from actalker.training.runs import settle
from actalker.training.start import begin
from actalker.training.tuning import TuningConfig


def settings(**trainer: object) -> Namespace:
    plain = {"default_root_dir": None, "logger": True, "max_steps": 2000, "accumulate_grad_batches": 2}
    return Namespace(
        run=None,
        steps=None,
        trainer=Namespace(**{**plain, "precision": "32-true", **trainer}),
        checkpoint=Namespace(dirpath=None),
        model=Namespace(optimizer=Namespace(warmup=50, steps=2000, cooldown=1000)),
        data=Namespace(init_args=Namespace(steps=2000)),
    )


def test_one_option_for_the_folder_and_one_for_the_length():
    given = settings(default_root_dir="runs/old")
    given.run, given.steps, given.checkpoint.dirpath = "neu", 200, "runs/old/checkpoints"
    settle(given)
    assert given.trainer.default_root_dir == "runs/neu"
    assert given.checkpoint.dirpath == "runs/neu/checkpoints"
    optimizer = given.model.optimizer
    assert (given.trainer.max_steps, optimizer.steps, optimizer.warmup, optimizer.cooldown) == (
        200,
        200,
        5,
        100,
    )
    assert given.data.init_args.steps == 2000
    given = settings()
    given.run, given.steps = "a/b", 3000
    settle(given)
    assert given.trainer.default_root_dir == "a/b" and given.data.init_args.steps == 6000
    old = settings(default_root_dir="x")  # Lightning's own option still works
    settle(old)
    assert old.checkpoint.dirpath == "x/checkpoints" and old.model.optimizer.steps == 2000


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true", "transformer-engine"])
def test_precisions_that_no_model_is_trained_in_are_one_line(precision):
    with pytest.raises(InputError, match="give one of: bf16-mixed, 16-mixed, 32-true"):
        settle(settings(precision=precision))


def test_what_a_step_logs_is_the_mean_of_its_batches_and_processes():
    one, other = StepMeans(), StepMeans()
    one.add({"loss": torch.tensor(1.0), "loss_low": torch.tensor(8.0)})
    one.add({"loss": torch.tensor(2.0)})
    other.add({"loss": torch.tensor(6.0)})
    sums = []
    other.settle(torch.device("cpu"), lambda part: sums.append(part) or part)
    means = one.settle(torch.device("cpu"), lambda part: part + sums[0])
    assert {name: float(value) for name, value in means.items()} == {"loss": 3.0, "loss_low": 8.0}
    assert one.settle(torch.device("cpu"), lambda part: part) == {}


def test_every_validation_clip_counts_once_on_any_number_of_processes():
    for clips, batch, ranks in ((7, 2, 3), (4, 4, 2), (9, 2, 1), (1, 3, 4)):
        seen, lengths = [], set()
        for rank in range(ranks):
            order = SharedBatches(clips, batch, rank, ranks)
            lengths.add(len(list(order)))
            seen += [k for index, rows in enumerate(order) if order.counts(index) for k in rows]
        assert sorted(seen) == list(range(clips)) and len(lengths) == 1


def one_clip(numbers: int) -> Sample:
    fields = {field.name: torch.zeros(0) for field in dataclasses.fields(Sample)}
    numbers = {"crops": torch.zeros(numbers, dtype=torch.uint8)}  # arrays of signals count as well
    return Sample(**{**fields, "arrays": {"expression": numbers}})


def test_workers_are_as_many_as_shared_memory_holds_batches_for(caplog):
    one = one_clip(2**20)  # a batch of 8 takes 8 MB
    assert workers_that_fit(one, 8, 0) == (0, None)
    assert workers_that_fit(one, 8, 2, free=64 << 20) == (2, 2) and not caplog.records
    assert workers_that_fit(one, 8, 4, free=64 << 20) == (4, 1)
    assert workers_that_fit(one, 8, 4, free=32 << 20) == (2, 1)
    assert workers_that_fit(one, 8, 2, processes=2, free=32 << 20) == (0, None)
    assert len(caplog.records) == 3 and "without workers" in caplog.messages[-1]
    assert "32 MB of shared memory" in caplog.messages[-1] and "a batch takes 8 MB" in caplog.messages[-1]
    assert Shared(lambda rows: rows[0])([one]).frames.is_shared()


def test_fresh_parts_are_named_by_patterns(tmp_path):
    torch.manual_seed(0)
    model = TalkingHeadModel(ModelConfig.from_dict(SMALL))
    save_model(model, tmp_path / "m")
    other = TalkingHeadModel(ModelConfig.from_dict({**SMALL, "audio": {"hidden": 24}}))
    with pytest.raises(InputError, match=r"begin anew with --model.fresh '\[\"encoders.audio.\*\"\]'"):
        begin(other, str(tmp_path / "m"), ())
    with pytest.raises(InputError, match=r"'encoders.audio' names no weight; 'encoders.audio.\*' does"):
        begin(other, str(tmp_path / "m"), ("encoders.audio",))
    before = other.encoders["audio"].null.clone()
    begin(other, str(tmp_path / "m"), ("encoders.audio.*",))
    assert torch.equal(other.encoders["text"].null, model.encoders["text"].null)
    assert torch.equal(other.encoders["audio"].null, before)


def test_null_where_a_list_or_settings_are_meant_is_none():
    tuning = TuningConfig(freeze=None, train=None, lora_layers=None)  # type: ignore[arg-type]
    assert tuning == TuningConfig(lora_layers=())
    assert ModelConfig(micro=None, audio=None, denoiser_args=None) == ModelConfig()  # type: ignore[arg-type]
    with pytest.raises(InputError, match="mask_drop: give at least one chance"):
        StrategyConfig(mask_drop=None)  # type: ignore[arg-type]


LOUD = """
import torch
from actalker.signals.audio import CONTEXT, MelFeatures

class Loud(torch.nn.Module):
    name = "audio"

    def __init__(self, width):
        super().__init__()
        self.source, self.net = MelFeatures(), torch.nn.Linear(CONTEXT, width)
        self.null = torch.nn.Parameter(torch.zeros(1, width))

    def forward(self, features):
        return self.net(features.mean(-1))[:, :, None]

    def absent(self, b, f):
        return self.null.expand(b, f, -1, -1)
"""


def test_an_encoder_of_ones_own_by_its_class(tmp_path, monkeypatch):
    (tmp_path / "own_loudness.py").write_text(LOUD)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = {"class_path": "own_loudness.Loud", "init_args": {"width": 64}}
    model = TalkingHeadModel(ModelConfig.from_dict({**SMALL, "audio": own}))
    save_model(model, tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert type(again.encoders["audio"]).__name__ == "Loud"
    assert torch.equal(again.encoders["audio"].net.weight, model.encoders["audio"].net.weight)
    for path, init, says in (
        ("nowhere.Loud", {}, "nowhere.Loud does not import"),
        ("own_loudness.MelFeatures", {}, "is no torch module"),
        ("own_loudness.Loud", {"size": 3}, "init_args: .*size"),
        ("torch.nn.Identity", {}, "has no null and no absent and no source"),
    ):
        with pytest.raises(InputError, match=says):
            TalkingHeadModel(
                ModelConfig.from_dict({**SMALL, "audio": {"class_path": path, "init_args": init}})
            )


def quick(*words: str) -> str:
    """The line of a refusal; neither torch nor Lightning was imported for it."""
    program = (
        "import sys; from actalker.cli.main import main; code = main(sys.argv[1:]); "
        "assert not {'torch', 'lightning'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith("error: "), done
    return done.stderr


@pytest.mark.parametrize(
    "words, says",
    [
        ("", "say what to do"),
        ("fitt", "did you mean 'fit'?.*see actalker train --help"),
        ("fit --config none.yaml", "none.yaml: no such file"),
        ("fit --config configs/tiny.yaml --trainer.max_stepp 3", "mean --trainer.max_steps"),
        ("fit --config configs/tiny.yaml --checkpoint.every_n_step=3", "mean --checkpoint.every_n_steps"),
        ("fit --config configs/tiny.yaml --ckpt_path no.ckpt", "no.ckpt: no such checkpoint"),
        ("validate --config configs/overfit.yaml", "data/one/shards: no such folder of shards"),
    ],
)
def test_what_is_wrong_for_certain_is_told_at_once(words, says):
    assert re.search(says, quick("train", *words.split()))


def test_the_names_that_are_checked_early_are_the_parsers():
    """Every option of a whole config is known to the early check."""
    from actalker.cli.train_words import SUBCOMMANDS, _known

    for command in SUBCOMMANDS:
        assert {"trainer", "model", "data", "checkpoint", "ema", "samples", "run"} <= _known(command).keys()
    known = _known("fit")
    from lightning import Trainer

    from actalker.training.callbacks import SampleVideos
    from actalker.training.checkpoints import LastCheckpoint
    from actalker.training.module import TrainingModule

    for group, kind in {"trainer": Trainer, "model": TrainingModule, "samples": SampleVideos}.items():
        assert known[group] == set(inspect.signature(kind.__init__).parameters) - {"self"}
    own = set(inspect.signature(LastCheckpoint.__init__).parameters) - {"self", "kwargs"}
    assert own <= known["checkpoint"] and "monitor" in known["checkpoint"]


def test_a_full_standard_output_is_one_line():
    for words in (["--version"], ["--help"], ["train", "--help"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "actalker", *words],
                cwd=ROOT,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert done.stderr.startswith("error: standard output: cannot be written (No space left")


def logged(folder: Path) -> dict[str, list[float]]:
    """The columns of a CSV logger."""
    (file,) = folder.rglob("metrics.csv")
    with open(file) as held:
        rows = list(csv.DictReader(held))
    return {name: [float(row[name]) for row in rows if row[name]] for name in rows[0]}


def with_numbers(folder: Path, **trainer: object) -> dict:
    given = config(folder, 2)
    given["trainer"] |= {"limit_val_batches": 4, "val_check_interval": 2, "check_val_every_n_epoch": None}
    given["trainer"] |= {"log_every_n_steps": 1, **trainer}
    csv_logger = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": str(folder)}}
    given["trainer"]["logger"] = csv_logger
    given["data"]["init_args"] |= {"validation_clips": 5, "batch_size": 2}
    given["samples"] = {"clips": 1}
    return given


@pytest.mark.slow
def test_two_processes_log_what_one_logs(tmp_path):
    """train/* and val/* of two processes are those of one that accumulates two batches; nobody is warned."""
    seen = []
    alone = {"accumulate_grad_batches": 2, "val_check_interval": 4}
    shared = {"devices": 2, "strategy": "ddp"}
    for name, more in (("one", alone), ("two", shared)):
        done = start(tmp_path / name, with_numbers(tmp_path / name, **more))
        assert done.returncode == 0, done.stderr[-1500:]
        assert "sync_dist" not in done.stderr
        seen.append(logged(tmp_path / name))
    one, two = seen
    assert {"train/loss", "val/loss", "val/psnr", "val/mouth"} <= one.keys()
    assert one.keys() - {"epoch"} == two.keys() - {"epoch"}
    for name in one.keys() - {"step", "epoch"}:
        assert one[name] == pytest.approx(two[name], rel=2e-3, abs=2e-4), name


@pytest.mark.slow
def test_test_and_predict(tmp_path):
    """test gives validation's numbers, predict a video of every held-out clip."""
    given = with_numbers(tmp_path)
    assert start(tmp_path, given).returncode == 0
    shown = {}
    for command in ("validate", "test", "predict"):
        words = [
            sys.executable,
            "train.py",
            command,
            "--config",
            str(tmp_path / "run.yaml"),
            "--ckpt_path",
            "last",
        ]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr[-1500:]
        cells = [line.split("│") for line in done.stdout.splitlines() if "/" in line and "│" in line]
        shown[command] = {row[1].strip().partition("/")[2]: row[2].strip() for row in cells}
    assert shown["test"] and shown["test"].items() <= shown["validate"].items()
    videos = sorted((tmp_path / "predictions").glob("*.mp4"))
    assert len(videos) == 5
    with av.open(str(videos[0])) as video:
        assert sum(1 for _ in video.decode(video=0)) == 6 and video.streams.video[0].width == 64


@pytest.mark.slow
@pytest.mark.parametrize("to", ["the first process", "all"])
def test_a_signal_ends_all_processes_with_one_checkpoint(tmp_path, to):
    given = config(tmp_path, 500)
    given["trainer"] |= {"devices": 2, "strategy": "ddp"}
    given["data"]["init_args"]["workers"] = 1
    process = launch(tmp_path, given)
    last = tmp_path / "checkpoints/last.ckpt"
    wait_for(last, process)
    os.killpg(process.pid, signal.SIGTERM) if to == "all" else process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 143 and "Traceback" not in said, said
    step = torch.load(last, weights_only=True)["global_step"]
    assert (
        said.splitlines()[-1].startswith(f"SIGTERM after step {step}: ") and said.count("SIGTERM after") == 1
    )
    for _ in range(100):
        left = subprocess.run(["pgrep", "-g", str(process.pid)], capture_output=True, text=True).stdout
        if not left:
            break
        time.sleep(0.1)
    assert not left


@pytest.mark.slow
def test_the_script_of_the_docs_trains(tmp_path):
    page = (ROOT / "docs/training.md").read_text()
    script = next(block.split("```")[0] for block in page.split("```python\n")[1:] if "trainer.fit" in block)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-1500:]
    assert done.stdout.splitlines()[-1].startswith("0.001 ")
    assert (tmp_path / "runs/script/checkpoints/last.ckpt").is_file()


@pytest.mark.slow
def test_two_frames_are_not_trained_in_bfloat16_on_a_cpu(tmp_path):
    """torch's weight gradients of a convolution over two frames are memory that nobody has written."""
    given = config(tmp_path, 2)
    given["trainer"]["precision"] = "bf16-mixed"
    done = start(tmp_path, given)
    assert done.returncode == 2 and "give 1 or 3 frames, or --trainer.precision 32-true" in done.stderr
    assert not (tmp_path / "checkpoints").exists()
