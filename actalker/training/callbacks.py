"""What is looked at while a model trains: sample videos, their errors with gates open and closed, and NaN.

The clips of `predict` are written here too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lightning as L
import torch
from torch import Tensor

from ..data.sample import Sample, as_uint8, collate, pixels
from ..errors import InputError
from ..evaluation.control import psnr, region_change
from ..media.image import write_png
from .checkpoints import LastCheckpoint
from .module import TrainingModule
from .pictures import beside, log_pictures, write_video

PREDICTIONS = "predictions"


class StopOnNaN(L.Callback):
    """Stop at the first loss that is not finite, and save the batch that made it.

    The loss is looked at before its gradients are computed, so that none reaches the weights.
    """

    batch: Sample

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Sample, index: int
    ) -> None:
        """Remember the batch."""
        self.batch = batch

    def on_before_backward(self, trainer: L.Trainer, module: L.LightningModule, loss: Tensor) -> None:
        """Check the loss of all processes.

        Raises: InputError that names the batch's file and clips, where a loss is not finite.
        """
        batch, fine = self.batch, math.isfinite(float(loss.detach()))
        if trainer.strategy.reduce_boolean_decision(fine, all=True):
            return
        if fine:  # the process whose loss it was tells of it
            raise InputError("the loss of another process is no number; its clips are named there")
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        process = f"_process{trainer.global_rank}" if trainer.global_rank else ""
        path = folder / f"nan_step{trainer.global_step}{process}.pt"
        torch.save(vars(batch), path)
        data = trainer.train_dataloader.dataset
        clips = ", ".join(data.name(k) for k in batch.index.tolist())
        raise InputError(
            f"the loss is {float(loss)} at step {trainer.global_step}; its batch is in {path}, of the clips "
            f"{clips}; lower the learning rate, or leave these clips out"
        )


class SampleVideos(L.Callback):
    """At every validation: clips as generated beside the truth, and what each gate does.

    A picture of all clips, a video of the first with all gates as in its sample and with each signal closed,
    and in the log `val/psnr`, and for every signal `val/moves_S`, how much its own region changes when it is
    closed, and `val/leaks_S`, how much the rest of the picture does (mean absolute differences, peak 1).

    Args:
        clips: how many validation clips are generated.
        steps: denoiser calls a window; 0: the model's own.
    """

    def __init__(self, clips: int = 4, steps: int = 0) -> None:
        self.clips, self.steps = clips, steps

    def on_validation_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Generate the clips, log what they show, and write the sheet and the video."""
        if not isinstance(module, TrainingModule) or not self.clips or not trainer.val_dataloaders:
            return
        data = trainer.val_dataloaders.dataset
        if not isinstance(data[0], Sample):
            return  # performances hold no pictures
        keepers = [each for each in trainer.checkpoint_callbacks if isinstance(each, LastCheckpoint)]
        rows: list[Tensor] = []
        values: dict[str, list[float]] = {}
        first: list[Tensor] = []
        folder = Path(trainer.default_root_dir) / "samples"
        with torch.random.fork_rng():
            for item in range(min(self.clips, len(data))):
                one = collate([data[item]]).to(module.device)
                clean, truth = module.sample(one, self.steps), unit(pixels(one.frames)[0])
                values.setdefault("psnr", []).append(psnr(clean, truth))
                videos = [truth, clean]
                for signal, region in own_regions(one).items():
                    closed = module.sample(without(one, signal), self.steps)
                    values.setdefault(f"moves_{signal}", []).append(region_change(clean, closed, region))
                    values.setdefault(f"leaks_{signal}", []).append(region_change(clean, closed, 1 - region))
                    videos.append(closed)
                first = first or videos
                strip = torch.cat([truth, clean], dim=2)[:: max(1, len(truth) // 7)]
                rows.append(torch.cat([unit(pixels(one.portrait))[0].repeat(1, 2, 1), *strip], dim=2))
                for keeper in keepers:
                    keeper.end_if_asked(trainer)
        # all processes generate the same, for the weights may be split over them
        means = {f"val/{name}": sum(v) / len(v) for name, v in values.items()}
        module.log_dict(means, batch_size=1, sync_dist=True)
        if not trainer.is_global_zero:
            return
        folder.mkdir(parents=True, exist_ok=True)
        fps, step = module.model.config.fps, trainer.global_step
        video = folder / f"step{step:06d}.mp4"
        write_video(video, first, fps)
        sheet = as_uint8(torch.cat(rows, dim=1).cpu()).permute(1, 2, 0).numpy()
        write_png(folder / f"step{step:06d}.png", sheet)
        for logger in trainer.loggers:
            log_pictures(logger, sheet, beside(first), video, fps=fps, step=step)


class WriteClips(L.Callback):
    """Writes what `predict` makes of every clip, as `predictions/NUMBER_NAME.mp4` in the run's folder."""

    def on_predict_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Make the folder."""
        (Path(trainer.default_root_dir) / PREDICTIONS).mkdir(parents=True, exist_ok=True)

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Sequence[Tensor],
        batch: Sample,
        index: int,
        loader: int = 0,
    ) -> None:
        """Write the clips of a batch."""
        assert isinstance(module, TrainingModule)
        data = trainer.predict_dataloaders.dataset
        for number, clip in zip(batch.index.tolist(), outputs, strict=True):
            stem = re.sub(r"[^\w.-]+", "_", Path(data.name(number)).stem)[:80]
            path = Path(trainer.default_root_dir) / PREDICTIONS / f"{number:05d}_{stem}.mp4"
            write_video(path, [clip], module.model.config.fps)

    def on_predict_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Print the folder."""
        if trainer.is_global_zero:
            print(Path(trainer.default_root_dir) / PREDICTIONS)


def own_regions(one: Sample) -> dict[str, Tensor]:
    """Return, for a batch of one clip: open signal -> mask (H, W) of the region in which the signal acts.

    A signal that is the only open one acts on the whole face.
    """
    regions = one.regions()
    opened = [name for k, name in enumerate(one.names()) if one.gates[0, k].amax() > 0]
    return {name: (one.face.float() if opened == [name] else regions[name])[0] for name in opened}


def without(one: Sample, signal: str) -> Sample:
    """The sample (a batch of one) with one signal's gate closed."""
    gates = one.gates.clone()
    gates[:, one.names().index(signal)] = 0
    return replace(one, gates=gates)


def unit(video: Tensor) -> Tensor:
    """Pictures in [-1, 1] as pictures in [0, 1]."""
    return (video / 2 + 0.5).clamp(0, 1)
