"""LightningCLI with this project's module, data and callbacks."""

from __future__ import annotations

import warnings
from argparse import ArgumentError
from datetime import timedelta
from typing import Any

import torch
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.strategies import ModelParallelStrategy

from ..data.module import StepData
from .averaging import AverageWeights
from .callbacks import LastCheckpoint, SampleVideos, StopOnNaN
from .module import TrainingModule

MISLEADING = (  # warnings of Lightning's that do not hold here
    "LightningCLI's args parameter",  # every subcommand of ours gets its arguments so
    "You're resuming from a checkpoint that ended before the epoch",  # clips are drawn by (seed, step)
    "Be aware that when using `ckpt_path`",  # the callbacks are there
)


class WrongOptions(Exception):
    """What the parser says, and the options that there are."""

    def __init__(self, message: str, options: list[str]) -> None:
        super().__init__(message)
        self.message, self.options = message, options


class Command(LightningCLI):
    """fit and validate, with checkpoints, weight averaging, sample videos and a NaN guard built in."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Options beside the trainer's, the module's and the data's."""
        parser.add_lightning_class_args(LastCheckpoint, "checkpoint")
        parser.set_defaults(
            {
                "checkpoint.save_last": True,
                "checkpoint.save_top_k": 0,
                "checkpoint.enable_version_counter": False,  # a resumed run goes on writing last.ckpt
                "checkpoint.train_time_interval": timedelta(minutes=4),
                "checkpoint.save_on_train_epoch_end": False,
            }
        )
        parser.add_lightning_class_args(AverageWeights, "ema")
        parser.add_lightning_class_args(SampleVideos, "samples")
        parser.add_argument(
            "--threads", type=int, default=0, help="CPU threads of the training; 0: torch's choice"
        )
        parser.add_argument(
            "--plan", action="store_true", help="print parameters, memory and speed, and train nothing"
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Raises: WrongOptions."""
        try:
            super().parse_arguments(parser, args)
        except ArgumentError as error:
            meant = self._subcommand_parsers.get(next(iter(args), ""), parser)
            known = [option for action in meant._actions for option in action.option_strings]
            raise WrongOptions(str(error.message), known) from None

    def before_fit(self) -> None:
        """With `--plan`, tell what the training takes, and end."""
        if not self.config.fit.get("plan"):
            return
        from .plan import plan

        batch = next(iter(self.datamodule.train_dataloader()))
        device = self.trainer.strategy.root_device
        trainer = self.trainer
        size, parts = trainer.world_size, trainer.accumulate_grad_batches
        split = isinstance(trainer.strategy, ModelParallelStrategy)
        print("\n".join(plan(self.model.to(device), batch.to(device), size, parts, split)))
        raise SystemExit(0)

    def before_instantiate_classes(self) -> None:
        """Threads are set before anything is built."""
        threads = self.config[self.subcommand].get("threads", 0) if self.subcommand else 0
        if threads:
            torch.set_num_threads(threads)


def train(argv: list[str]) -> None:
    """Run the command line; `fit` goes on from runs/.../last.ckpt with `--ckpt_path last`.

    Raises: WrongOptions.
    """
    for message in MISLEADING:
        warnings.filterwarnings("ignore", message=message)
    Command(
        TrainingModule,
        StepData,
        subclass_mode_data=True,
        args=argv,
        seed_everything_default=0,
        save_config_kwargs={"overwrite": True},
        trainer_defaults={"callbacks": [StopOnNaN()], "use_distributed_sampler": False},
        parser_kwargs={
            "prog": "actalker train",
            "exit_on_error": False,
            **{name: {"exit_on_error": False} for name in LightningCLI.subcommands()},
        },
    )
