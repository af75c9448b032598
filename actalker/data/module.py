"""Lightning data modules: puppets, performances, speech, and prepared clips as pictures or as motion.

The order of clips is a function of (seed, step).
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sized
from dataclasses import replace
from typing import Any, cast

import lightning as L
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from .clip_set import ClipSet, ClipSetConfig, index_of
from .clips import ClipDataConfig, ClipDataset
from .motion_clips import MotionClipConfig, MotionClipDataset
from .performances.dataset import PerformanceConfig, PerformanceDataset
from .performances.scripts import WORDINGS as ACTIONS
from .puppets.dataset import PuppetDataConfig, PuppetDataset
from .puppets.phrases import WORDINGS
from .sample import collate
from .shards import Clip
from .speech.dataset import SpeechDataConfig, SpeechDataset
from .workers import Shared, begin_worker, workers_that_fit

log = logging.getLogger("actalker")


class StepSampler(Sampler[list[int]]):
    """Batches of places, each a function of (seed, step, rank), so a resumed run sees what it would have.

    A place is a clip's number plus the number of clips for every pass before: each pass over the clips is a
    new permutation of them, and a clip can be another window in every pass.

    Args:
        clips: how many there are.
        batch: clips in a batch of one process.
        seed: of the permutations.
        first: the step at which a resumed run goes on.
        stop: steps of an epoch; epochs end at its multiples.
        rank, ranks: number of this process, and of all.
    """

    def __init__(
        self, clips: int, batch: int, seed: int, first: int, stop: int, rank: int = 0, ranks: int = 1
    ):
        self.clips, self.batch, self.seed = clips, batch, seed
        self.first, self.rank, self.ranks, self.epoch = first, rank, ranks, stop
        self.stop = (first // stop + 1) * stop

    def __len__(self) -> int:
        return self.stop - self.first

    def __iter__(self) -> Iterator[list[int]]:
        order, current = torch.empty(0, dtype=torch.long), -1
        for step in range(self.first, self.stop):
            batch = []
            for item in range(self.batch):
                place = (step * self.ranks + self.rank) * self.batch + item
                turn, at = divmod(place, self.clips)
                if turn != current:
                    generator = torch.Generator().manual_seed(self.seed * 7919 + turn)
                    order, current = torch.randperm(self.clips, generator=generator), turn
                batch.append(turn * self.clips + int(order[at]))
            yield batch
        self.first, self.stop = self.stop, self.stop + self.epoch  # the next epoch goes on there


class SharedBatches(Sampler[list[int]]):
    """Batches of all clips, each once, in order, dealt to the processes in turn.

    All processes get equally many batches: one that would get fewer repeats the last, which does not count.
    """

    def __init__(self, clips: int, batch: int, rank: int = 0, ranks: int = 1) -> None:
        self.clips, self.batch, self.rank, self.ranks = clips, batch, rank, ranks
        self.batches = -(-clips // batch)

    def __len__(self) -> int:
        return -(-self.batches // self.ranks)

    def __iter__(self) -> Iterator[list[int]]:
        for index in range(len(self)):
            first = min(index * self.ranks + self.rank, self.batches - 1) * self.batch
            yield list(range(first, min(first + self.batch, self.clips)))

    def counts(self, index: int) -> bool:
        """Whether batch `index` of this process is not a repeated one."""
        return index * self.ranks + self.rank < self.batches


class StepData(L.LightningDataModule, ABC):
    """Batches of a data set, which subclasses make, in an order that a resumed run continues.

    Args:
        batch_size: clips a step.
        steps: steps of the whole training, for the order of clips.
        workers: processes that make samples beside the training.
        seed: of the order.
    """

    phrases: tuple[tuple[str, ...], ...] = ()
    """Wordings of the actions that scripts ask for, where these are a fixed set (`ModelConfig.phrases`)."""

    def __init__(self, batch_size: int, steps: int, workers: int, seed: int) -> None:
        super().__init__()
        self.batch_size, self.steps, self.workers, self.seed = batch_size, steps, workers, seed

    def take_signals(self, signals: tuple[str, ...]) -> None:
        """Use the trained model's signals, unless the settings of the data name signals."""
        config: Any = vars(self).get("data")
        if getattr(config, "signals", None) == ():
            setattr(self, "data", replace(config, signals=signals))  # noqa: B010 - each subclass has its kind

    @abstractmethod
    def dataset(self, training: bool) -> Dataset:
        """The data set to train on, or the one that is never trained on."""

    def train_dataloader(self) -> DataLoader:
        """Training batches, from the trainer's current step on."""
        trainer, data = self.trainer, self.dataset(True)
        first = trainer.global_step * trainer.accumulate_grad_batches if trainer else 0
        rank, ranks = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        sampler = StepSampler(
            _size(data),
            self.batch_size,
            self.seed,
            first=first,
            stop=self.steps,
            rank=rank,
            ranks=ranks,
        )
        workers, ahead = self.workers, None
        if workers:
            one = collate([data[next(iter(sampler))[0]]])
            local = ranks // (trainer.num_nodes if trainer else 1)
            workers, ahead = workers_that_fit(one, self.batch_size, workers, local)
        return DataLoader(
            data,
            batch_sampler=sampler,
            num_workers=workers,
            prefetch_factor=ahead,
            collate_fn=Shared(collate) if workers else collate,
            worker_init_fn=begin_worker,
            persistent_workers=workers > 0,
        )

    def val_dataloader(self) -> DataLoader:
        """Batches of the held-out clips, each once, dealt to the processes."""
        data, trainer = self.dataset(False), self.trainer
        rank, ranks = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        batches = SharedBatches(_size(data), self.batch_size, rank, ranks)
        return DataLoader(data, batch_sampler=batches, num_workers=0, collate_fn=collate)

    test_dataloader = predict_dataloader = val_dataloader


def _size(data: Dataset) -> int:
    return len(cast(Sized, data))  # torch's base class of data sets declares no length


class PuppetData(StepData):
    """Clips of drawn heads (`puppets`), made from a seed; those of validation from another seed.

    Args:
        data: the settings of the clips.
        clips: how many different ones there are; they stay in memory once drawn.
        batch_size: clips a step.
        steps: steps of the whole training, for the order of clips.
        workers: processes that draw clips beside the training.
        validation_clips: clips that are never trained on.
    """

    phrases = WORDINGS

    def __init__(
        self,
        data: PuppetDataConfig,
        clips: int = 6000,
        batch_size: int = 6,
        steps: int = 10000,
        workers: int = 1,
        validation_clips: int = 8,
    ) -> None:
        super().__init__(batch_size, steps, workers, data.seed)
        self.data, self.clips, self.validation_clips = data, clips, validation_clips

    def dataset(self, training: bool) -> Dataset:
        """Puppets of the seed to train on, or of the seed of validation."""
        if training:
            return PuppetDataset(self.data, self.clips)
        return PuppetDataset(replace(self.data, seed=self.data.seed + 1_000_000), self.validation_clips)


class ShardData(StepData):
    """Prepared clips of real people, as the samples of a data set `kind`.

    config: where they are, and how windows are cut. Other arguments: as `StepData`.
    """

    kind: type[ClipSet]
    """The class of the data set that makes samples of the clips."""

    def __init__(self, config: ClipSetConfig, batch_size: int, steps: int, workers: int) -> None:
        super().__init__(batch_size, steps, workers, config.seed)
        self.data = config
        self.index: list[Clip] | None = None
        self.datasets: list[ClipSet] = []

    def dataset(self, training: bool) -> Dataset:
        """The clips to train on, or those held out. Raises: InputError where there are none."""
        if self.index is None:
            self.index = index_of(self.data)
        self.datasets.append(self.kind(self.data, training, self.index))
        return self.datasets[-1]

    def name(self, index: int) -> str:
        """The name of a training clip in its source, by a batch's `index`."""
        return next(data for data in self.datasets if data.training).name(index)

    def teardown(self, stage: str) -> None:
        """At the end of training, log how many clips were damaged."""
        for line in dict.fromkeys(data.damage() for data in self.datasets):
            if line is not None:
                log.warning("%s", line)
        self.datasets.clear()


class ClipData(ShardData):
    """Prepared clips of real people, as pictures.

    Args:
        data: where they are, and how windows are cut.
        batch_size: clips a step.
        steps: steps of the whole training, for the order of clips.
        workers: processes that read and decode beside the training.
    """

    kind = ClipDataset

    def __init__(
        self, data: ClipDataConfig, batch_size: int = 4, steps: int = 100000, workers: int = 2
    ) -> None:
        super().__init__(data, batch_size, steps, workers)


class MotionClipData(ShardData):
    """Prepared clips of real people, as the motion of their heads, for models that learn motion.

    Args:
        clips: where they are, and how windows are cut.
        batch_size: windows a step.
        steps: steps of the whole training, for the order of clips.
        workers: processes that read beside the training.
    """

    kind = MotionClipDataset

    def __init__(
        self, clips: MotionClipConfig, batch_size: int = 8, steps: int = 10000, workers: int = 0
    ) -> None:
        super().__init__(clips, batch_size, steps, workers)


class PerformanceData(StepData):
    """Stretches of synthetic performances, made from a seed; those of validation from another seed.

    Args:
        data: the settings of the performances.
        count: how many different ones there are; they stay in memory once made.
        batch_size: stretches a step.
        steps: steps of the whole training, for their order.
        workers: processes that make them beside the training.
        validation_count: performances that are never trained on.
    """

    phrases = ACTIONS

    def __init__(
        self,
        data: PerformanceConfig,
        count: int = 2000,
        batch_size: int = 40,
        steps: int = 10000,
        workers: int = 0,
        validation_count: int = 160,
    ) -> None:
        super().__init__(batch_size, steps, workers, data.seed)
        self.data, self.count, self.validation_count = data, count, validation_count

    def dataset(self, training: bool) -> Dataset:
        """Performances of the seed to train on, or of the seed of validation."""
        if training:
            return PerformanceDataset(self.data, self.count)
        return PerformanceDataset(replace(self.data, seed=self.data.seed + 1_000_000), self.validation_count)


class SpeechData(StepData):
    """Crops of synthetic speech; those of validation are of held-out voices, clean.

    Args:
        data: the settings of the crops.
        sounds: how many different ones are made; they stay in memory.
        batch_size: crops a step.
        steps: steps of the whole training, for their order.
        workers: processes that make them beside the training.
        validation_sounds: how many sounds of held-out voices there are, each with one crop.
    """

    def __init__(
        self,
        data: SpeechDataConfig,
        sounds: int = 1600,
        batch_size: int = 48,
        steps: int = 100000,
        workers: int = 1,
        validation_sounds: int = 48,
    ) -> None:
        super().__init__(batch_size, steps, workers, data.seed)
        self.data, self.sounds, self.validation_sounds = data, sounds, validation_sounds

    def dataset(self, training: bool) -> Dataset:
        """Crops of training voices, varied, or crops of held-out voices, clean."""
        if training:
            return SpeechDataset(self.data, self.sounds)
        return SpeechDataset(replace(self.data, clean=1.0, empty=0.0), self.validation_sounds, held_out=True)
