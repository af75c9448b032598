"""The Lightning data module: puppets and warped portraits, in an order that is a function of (seed, step)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import lightning as L
import torch
from torch.utils.data import DataLoader, Sampler

from .puppets.dataset import PuppetDataConfig, PuppetDataset
from .sample import collate


class StepSampler(Sampler[list[int]]):
    """Batches of clip numbers, each a function of (seed, step, rank): a resumed run sees what it would have.

    Every pass over the clips is a new permutation of them.
    """

    def __init__(
        self, clips: int, batch: int, seed: int, first: int, stop: int, rank: int = 0, ranks: int = 1
    ):
        self.clips, self.batch, self.seed = clips, batch, seed
        self.first, self.stop, self.rank, self.ranks = first, stop, rank, ranks

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
                batch.append(int(order[at]))
            yield batch


class PuppetData(L.LightningDataModule):
    """Training clips from nothing but a seed; validation clips from another.

    Args:
        data: what the clips are.
        clips: how many different ones; they are kept in memory once made.
        batch_size: clips a step.
        steps: steps of the whole training, for the order of clips.
        workers: processes that draw clips beside the training.
        validation_clips: clips that are never trained on.
    """

    def __init__(
        self,
        data: PuppetDataConfig,
        clips: int = 6000,
        batch_size: int = 6,
        steps: int = 10000,
        workers: int = 1,
        validation_clips: int = 8,
    ) -> None:
        super().__init__()
        self.data, self.clips, self.batch_size = data, clips, batch_size
        self.steps, self.workers, self.validation_clips = steps, workers, validation_clips

    def train_dataloader(self) -> DataLoader:
        trainer = self.trainer
        first = trainer.global_step * trainer.accumulate_grad_batches if trainer else 0
        rank, ranks = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        sampler = StepSampler(self.clips, self.batch_size, self.data.seed, first, self.steps, rank, ranks)
        return DataLoader(
            PuppetDataset(self.data, self.clips),
            batch_sampler=sampler,
            num_workers=self.workers,
            collate_fn=collate,
            persistent_workers=self.workers > 0,
        )

    def val_dataloader(self) -> DataLoader:
        held_out = replace(self.data, seed=self.data.seed + 1_000_000)
        return DataLoader(
            PuppetDataset(held_out, self.validation_clips),
            batch_size=self.batch_size,
            num_workers=0,
            collate_fn=collate,
        )
