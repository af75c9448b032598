"""LightningCLI with this project's module, data and callbacks."""

from __future__ import annotations

import errno
import logging
import signal
import warnings
from argparse import ArgumentError
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.utilities import rank_zero_only

from ..data.module import MotionClipData, StepData
from ..errors import InputError
from .averaging import AverageWeights
from .callbacks import SampleVideos, StopOnNaN, WriteClips
from .checkpoints import LastCheckpoint, WholeCheckpoints, WholeTrainer, check_fits, read_checkpoint
from .module import TrainingModule
from .runs import checkpoint_to_go_on, claim, settle

MISLEADING = (  # warnings of other packages that do not hold here, or are of their inside
    "LightningCLI's args parameter",  # every subcommand of ours gets its arguments so
    "You're resuming from a checkpoint that ended before the epoch",  # clips are drawn by (seed, step)
    "Be aware that when using `ckpt_path`",  # the callbacks are there
    r".*isinstance\(treespec",
    "The dirpath has changed from",  # a run may go on in another folder
    "The `srun` command is available on your system but is not used",
    r"The '\w+' does not have many workers",  # validation reads few clips
    "You are using a custom batch sampler `SharedBatches`",  # it gives every clip
    "Checkpoint directory .* exists and is not empty",
    r"Found \d+ module\(s\) in eval mode at the start",  # what is frozen
    ".*torch.distributed.* is deprecated",
    ".*FSDP2-wrapped module .* returned a view tensor",  # nothing is changed in place
)


log = logging.getLogger("actalker")
DATA = {"clips": "actalker.data.module.MotionClipData"}  # short names that --data takes
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)


class WrongOptions(Exception):
    """The parser's message about wrong options, and the options that there are."""

    def __init__(self, message: str, options: list[str]) -> None:
        super().__init__(message)
        self.message, self.options = message, options


class Command(LightningCLI):
    """fit, validate, test and predict, with checkpoints, weight averaging, sample videos and a NaN guard."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Options beside the trainer's, the module's and the data's."""
        parser.add_argument(
            "--run", type=str | None, help="the run: all that it writes is in runs/RUN (or a folder: a/b)"
        )
        parser.add_argument(
            "--steps",
            type=int | None,
            help="length of the training; warm-up and cool-down keep their shares of it",
        )
        parser.add_argument(
            "--overwrite", action="store_true", help="begin anew in a folder that holds a run already"
        )
        parser.add_lightning_class_args(LastCheckpoint, "checkpoint")
        parser.add_lightning_class_args(AverageWeights, "ema")
        parser.add_lightning_class_args(SampleVideos, "samples")
        parser.add_argument(
            "--threads", type=int, default=0, help="CPU threads of the training; 0: torch's choice"
        )
        parser.add_argument(
            "--plan", action="store_true", help="print parameters, memory and speed, and train nothing"
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Read the command line. Raises: WrongOptions."""
        if isinstance(args, list):
            args = _long_names(args)
        try:
            super().parse_arguments(parser, args)
        except ArgumentError as error:
            meant = self._subcommand_parsers.get(next(iter(args), ""), parser)
            known = [option for action in meant._actions for option in action.option_strings]
            raise WrongOptions(str(error.message), known) from None

    def _parse_ckpt_path(self) -> None:
        """The run's folder and length, and the checkpoint to read: settled before anything is built.

        In the place of Lightning's, which takes the settings from the checkpoint: here they are the config's.
        """
        config = self.config[self.config.subcommand]
        settle(config)
        path = checkpoint_to_go_on(config.get("ckpt_path"), Path(config.checkpoint.dirpath))
        config.ckpt_path, self.held = path, None
        if path is not None and "://" not in path:
            self.held = read_checkpoint(path)

    def before_instantiate_classes(self) -> None:
        """Threads are set before anything is built."""
        config = self.config[self.subcommand]
        if config.threads:
            torch.set_num_threads(config.threads)
        if self.subcommand == "predict":
            config.return_predictions = False  # they are written as they come

    def _instantiate_trainer(self, config: dict[str, object], callbacks: list[L.Callback]) -> L.Trainer:
        chosen = config.get("plugins") or []
        plugins = list(chosen) if isinstance(chosen, (list, tuple)) else [chosen]
        if not any(isinstance(each, CheckpointIO) for each in plugins):
            plugins.append(WholeCheckpoints())
        if config.get("enable_checkpointing") is False:
            callbacks = [each for each in callbacks if not isinstance(each, LastCheckpoint)]
        return super()._instantiate_trainer({**config, "plugins": plugins}, callbacks)

    def _run_subcommand(self, subcommand: str) -> None:
        config = self.config[subcommand]
        if self.held is not None:
            check_fits(config.ckpt_path, self.held, self.model)
            self.held = None
        if config.get("plan"):
            self._plan()
            return
        lock = None
        if subcommand == "fit" and not config.trainer.fast_dev_run:
            self._check_two_frames()
            self._check_listening()
            places = Path(config.trainer.default_root_dir), Path(config.checkpoint.dirpath)
            lock = claim(*places, config.ckpt_path, config.overwrite)
        try:
            super()._run_subcommand(subcommand)
        except BaseException as error:
            launcher = self.trainer.strategy.launcher
            if launcher is not None and rank_zero_only.rank == 0:
                launcher.kill(signal.SIGKILL)  # processes that would wait for this one
            if isinstance(error, OSError) and error.errno in FULL:
                place = error.filename or config.trainer.default_root_dir
                why = f"cannot be written ({error.strerror}); free space there, or give another --run"
                raise InputError(f"{place}: {why}") from None
            raise
        finally:
            if lock is not None:
                lock.close()

    def _check_two_frames(self) -> None:
        """Refuse what torch computes wrongly: bfloat16 gradients of convolutions over two frames, on CPUs."""
        if self.trainer.strategy.root_device.type != "cpu" or self.trainer.precision != "bf16-mixed":
            return
        frames = getattr(getattr(self.datamodule, "data", None), "frames", None)
        if 2 in (self.model.strategy.window.short, frames):
            raise InputError(
                "model.strategy.window.short 2: on a CPU, torch's bf16 gradients of two frames hold memory "
                "that nobody has written; give 1 or 3 frames, or --trainer.precision 32-true"
            )

    def _check_listening(self) -> None:
        """Tell that sound is read by weights that are random and stay so; articulators need none."""
        if not isinstance(self.datamodule, MotionClipData) or self.model.hparams.get("start"):
            return
        frozen = [
            f"encoders.{name}.{weight}"
            for name, encoder in self.model.model.encoders.items()
            if hasattr(encoder, "source")
            for weight, values in encoder.named_parameters()
            if not values.requires_grad
        ]
        if frozen and self.config[self.subcommand].ckpt_path is None:
            log.warning(
                "model.tuning.freeze: %s and %d more weights that hear the speech begin at random and stay "
                "so; give --model.start tiny, or --model.tuning.freeze null",
                *(frozen[0], len(frozen) - 1),
            )

    def _plan(self) -> None:
        """Tell what the training takes."""
        from .plan import plan

        self.datamodule.trainer = self.trainer
        self.datamodule.take_signals(self.model.model.signals)
        batch = next(iter(self.datamodule.train_dataloader()))
        device = self.trainer.strategy.root_device
        trainer = self.trainer
        size, parts = trainer.world_size, trainer.accumulate_grad_batches
        split = isinstance(trainer.strategy, ModelParallelStrategy)
        print("\n".join(plan(self.model.to(device), batch.to(device), size, parts, split)))


def _long_names(words: list[str]) -> list[str]:
    """A command line with the classes that short names after --data stand for."""
    joined = [f"--data={DATA[w[7:]]}" if w[:7] == "--data=" and w[7:] in DATA else w for w in words]
    before = ["", *joined]
    return [
        DATA.get(word, word) if last == "--data" else word for last, word in zip(before, joined, strict=False)
    ]


def train(argv: list[str]) -> None:
    """Run the command line; `fit` goes on from runs/.../last.ckpt with `--ckpt_path last`.

    Raises: WrongOptions; Interrupted after a signal, when the checkpoint is written; InputError.
    """
    for message in MISLEADING:
        warnings.filterwarnings("ignore", message=message)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).addFilter(lambda record: "Tip:" not in record.getMessage())
    Command(
        TrainingModule,
        StepData,
        subclass_mode_data=True,
        args=argv,
        seed_everything_default=0,
        save_config_kwargs={"overwrite": True},
        trainer_class=WholeTrainer,
        trainer_defaults={"callbacks": [StopOnNaN(), WriteClips()], "use_distributed_sampler": False},
        load_from_checkpoint_support=False,  # the module keeps its settings itself, for own scripts too
        parser_kwargs={
            "prog": "actalker train",
            "exit_on_error": False,
            **{name: {"exit_on_error": False} for name in LightningCLI.subcommands()},
        },
    )
