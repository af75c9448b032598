"""What is looked at while a model trains: sample videos, their error with gates open and closed, NaN."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from ..data.sample import Sample, pixels
from ..media.image import write_png
from ..pipeline.generate import generate
from .module import TrainingModule


class StopOnNaN(L.Callback):
    """Stop at the first loss that is not a number, and save the batch that made it."""

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Sample, index: int
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if loss is None or math.isfinite(float(loss)):
            return
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"nan_step{trainer.global_step}.pt"
        torch.save(vars(batch), path)
        raise RuntimeError(
            f"the loss is {float(loss)} at step {trainer.global_step}, clips {batch.index.tolist()}; "
            f"their batch is in {path}"
        )


class LastCheckpoint(ModelCheckpoint):
    """Lightning's, which also writes last.ckpt after the last step, between two of its times.

    Not at the end of the training: there the averaged weights have taken the place of the current ones.
    """

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        super().on_train_batch_end(trainer, module, outputs, batch, index)
        if trainer.global_step == trainer.max_steps and self._last_global_step_saved != trainer.global_step:
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))


class SampleVideos(L.Callback):
    """At every validation: the clips as generated, beside the truth, as a picture; and their errors.

    Args:
        clips: how many validation clips are generated.
        steps: denoiser calls a window; 0: the model's own.
    """

    def __init__(self, clips: int = 4, steps: int = 0) -> None:
        self.clips, self.steps = clips, steps

    @rank_zero_only
    def on_validation_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not isinstance(module, TrainingModule) or trainer.val_dataloaders is None:
            return
        batch = next(iter(trainer.val_dataloaders)).to(module.device)
        rows, errors = [], []
        with torch.random.fork_rng():
            for item in range(min(self.clips, len(batch.frames))):
                one = Sample(**{name: value[item : item + 1] for name, value in vars(batch).items()})
                clean = self.generate(module, one)
                truth = pixels(one.frames)[0]
                errors.append(10 * math.log10(4 / max(1e-9, float((clean - truth).square().mean()))))
                strip = torch.cat([truth, clean], dim=2)[:: max(1, len(truth) // 7)]
                rows.append(torch.cat([pixels(one.portrait)[0].repeat(1, 2, 1), *strip], dim=2))
        module.log("val/psnr", sum(errors) / len(errors), batch_size=1)
        sheet = ((torch.cat(rows, dim=1) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        folder = Path(trainer.default_root_dir) / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        write_png(folder / f"step{trainer.global_step:06d}.png", sheet.permute(1, 2, 0).cpu().numpy())
        if trainer.logger is not None and hasattr(trainer.logger, "experiment"):
            writer = trainer.logger.experiment
            if hasattr(writer, "add_image"):
                writer.add_image("samples", sheet, trainer.global_step)

    def generate(self, module: TrainingModule, one: Sample) -> Tensor:
        """One validation clip (a batch of one) under its gates: (f, 3, H, W) in [-1, 1]."""
        conditions = module.conditions(
            one, module.tokens(one, None), module.step_generator(0), training=False
        )
        frames = one.frames.shape[1]
        pieces = generate(module.model, conditions.frames, frames, steps=self.steps or None)
        return torch.cat(list(pieces)).float()
