"""Lightning data modules: puppets, or prepared clips as pictures or as motion, in an order that is a function
of (seed, step).
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

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
    """Batches of places, each a function of (seed, step, rank): a resumed run sees what it would have.

    A place is a clip's number plus the number of clips for every pass before: each pass over the clips is a
    new permutation of them, and a clip can be another window in every pass. An epoch ends at every multiple
    of `stop`; `first` is where a resumed run goes on, in any of them.
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
    """Every clip once, in order; batches go to the processes in turn.

    All processes get as many: one that would get fewer repeats the last batch, which does not count.
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
        """Whether this process's batch is no repeated one."""
        return index * self.ranks + self.rank < self.batches


class StepData(L.LightningDataModule, ABC):
    """Batches of a data set of ours, in an order that a resumed run shares; what data is for a subclass.

    Args:
        batch_size: clips a step.
        steps: steps of the whole training, for the order of clips.
        workers: processes that make samples beside the training.
        seed: of the order.
    """

    phrases: tuple[tuple[str, ...], ...] = ()
    """What the clips' scripts ask for, where that is a fixed set (`ModelConfig.phrases`)."""

    def __init__(self, batch_size: int, steps: int, workers: int, seed: int) -> None:
        super().__init__()
        self.batch_size, self.steps, self.workers, self.seed = batch_size, steps, workers, seed

    def take_signals(self, signals: tuple[str, ...]) -> None:
        """Make clips of these signals, the trained model's, unless the data's settings say which."""
        config: Any = vars(self).get("data")
        if getattr(config, "signals", None) == ():
            setattr(self, "data", replace(config, signals=signals))  # noqa: B010 - each subclass has its kind

    @abstractmethod
    def dataset(self, training: bool) -> Dataset:
        """Clips to train on, or clips that are never trained on."""

    def train_dataloader(self) -> DataLoader:
        """Batches from the step where the training is."""
        trainer, data = self.trainer, self.dataset(True)
        first = trainer.global_step * trainer.accumulate_grad_batches if trainer else 0
        rank, ranks = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        clips = len(data)  # type: ignore[arg-type]
        sampler = StepSampler(clips, self.batch_size, self.seed, first, self.steps, rank, ranks)
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
        """The held-out clips, once, shared by the processes."""
        data, trainer = self.dataset(False), self.trainer
        rank, ranks = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        clips = len(data)  # type: ignore[arg-type]
        batches = SharedBatches(clips, self.batch_size, rank, ranks)
        return DataLoader(data, batch_sampler=batches, num_workers=0, collate_fn=collate)

    test_dataloader = predict_dataloader = val_dataloader


class PuppetData(StepData):
    """Drawn heads (`puppets`) from nothing but a seed; those of validation from another.

    Args:
        data: what the clips are.
        clips: how many different ones; they are kept in memory once made.
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
        if training:
            return PuppetDataset(self.data, self.clips)
        return PuppetDataset(replace(self.data, seed=self.data.seed + 1_000_000), self.validation_clips)


class ShardData(StepData):
    """Prepared clips of real people, as samples of some kind.

    config: where they are, and how windows are cut. Others as `StepData`.
    """

    kind: type[ClipSet]
    """The data set that makes samples of them."""

    def __init__(self, config: ClipSetConfig, batch_size: int, steps: int, workers: int) -> None:
        super().__init__(batch_size, steps, workers, config.seed)
        self.data = config
        self.index: list[Clip] | None = None
        self.made: list[ClipSet] = []

    def dataset(self, training: bool) -> Dataset:
        if self.index is None:
            self.index = index_of(self.data)
        self.made.append(self.kind(self.data, training, self.index))
        return self.made[-1]

    def name(self, index: int) -> str:
        """What the source calls a training clip, by a batch's `index`."""
        return next(data for data in self.made if data.training).name(index)

    def teardown(self, stage: str) -> None:
        """At the end, say how many clips were damaged."""
        for line in dict.fromkeys(data.damage() for data in self.made):
            if line is not None:
                log.warning("%s", line)
        self.made.clear()


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
    """Stretches of performances from nothing but a seed; those of validation from another.

    Args:
        data: what the performances are.
        count: how many different ones; they are kept in memory once made.
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
        if training:
            return PerformanceDataset(self.data, self.count)
        return PerformanceDataset(replace(self.data, seed=self.data.seed + 1_000_000), self.validation_count)


class SpeechData(StepData):
    """Crops of training voices; those of validation are of voices that are never trained on, as they are.

    Args:
        data: what the crops are.
        sounds: how many different ones are made; they are kept in memory.
        batch_size: crops a step.
        steps: steps of the whole training, for their order.
        workers: processes that make them beside the training.
        validation_sounds: of held-out voices, a crop of each.
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
        if training:
            return SpeechDataset(self.data, self.sounds)
        return SpeechDataset(replace(self.data, clean=1.0, empty=0.0), self.validation_sounds, held=True)
