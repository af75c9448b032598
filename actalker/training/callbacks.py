"""What is looked at while a model trains: sample videos, their error with gates open and closed, NaN."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from ..data.sample import Sample, as_uint8, pixels
from ..errors import InputError
from ..evaluation.control import psnr, region_change
from ..media.image import write_png
from ..media.writer import VideoWriter
from .module import TrainingModule

GIF_WIDE = 1024  # pixels of all videos side by side in TensorBoard


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
        data = trainer.train_dataloader.dataset
        clips = ", ".join(data.name(k) for k in batch.index.tolist())
        raise InputError(
            f"the loss is {float(loss)} at step {trainer.global_step}; its batch is in {path}, of the clips "
            f"{clips}; lower the learning rate, or leave these clips out"
        )


class LastCheckpoint(ModelCheckpoint):
    """Lightning's, which also writes last.ckpt after the last step, between two of its times."""

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        super().on_train_batch_end(trainer, module, outputs, batch, index)
        if trainer.global_step == trainer.max_steps and self._last_global_step_saved != trainer.global_step:
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))


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
        if not isinstance(module, TrainingModule) or trainer.val_dataloaders is None:
            return
        batch = next(iter(trainer.val_dataloaders)).to(module.device)
        rows: list[Tensor] = []
        values: dict[str, list[float]] = {}
        first: list[Tensor] = []
        folder = Path(trainer.default_root_dir) / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        with torch.random.fork_rng():
            for item in range(min(self.clips, len(batch.frames))):
                one = Sample(**{name: value[item : item + 1] for name, value in vars(batch).items()})
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
        module.log_dict({f"val/{name}": sum(v) / len(v) for name, v in values.items()}, batch_size=1)
        if not trainer.is_global_zero:
            return  # all processes generate, for the weights may be split over them
        fps, step = module.model.config.fps, trainer.global_step
        write_video(folder / f"step{step:06d}.mp4", first, fps)
        sheet = as_uint8(torch.cat(rows, dim=1).cpu())
        write_png(folder / f"step{step:06d}.png", sheet.permute(1, 2, 0).numpy())
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("samples", sheet, step)
                logger.experiment.file_writer.add_summary(moving_picture("video", first, fps), step)


def own_regions(one: Sample) -> dict[str, Tensor]:
    """Signals that are open in a sample of one clip, with the region (H, W) that each has there."""
    regions = one.regions()
    opened = [name for k, name in enumerate(one.names()) if one.gates[0, k].amax() > 0]
    return {name: (one.face.float() if opened == [name] else regions[name])[0] for name in opened}


def without(one: Sample, signal: str) -> Sample:
    """The sample with a signal's gate closed."""
    gates = one.gates.clone()
    gates[:, one.names().index(signal)] = 0
    return replace(one, gates=gates)


def unit(video: Tensor) -> Tensor:
    """[-1, 1] to [0, 1]."""
    return (video / 2 + 0.5).clamp(0, 1)


def beside(videos: list[Tensor]) -> np.ndarray:
    """Videos (f, 3, H, W) in [0, 1] side by side, (f, H, n·W, 3) uint8."""
    return as_uint8(torch.cat([video.cpu() for video in videos], dim=3)).permute(0, 2, 3, 1).numpy()


def write_video(path: Path, videos: list[Tensor], fps: int) -> None:
    """Videos (f, 3, H, W) in [0, 1] side by side, as MP4."""
    wide = beside(videos)
    with VideoWriter(path, Fraction(fps), wide.shape[1:3], overwrite=True) as video:
        for frame in wide:
            video.write(frame)


def moving_picture(name: str, videos: list[Tensor], fps: int) -> Any:
    """Videos side by side as TensorBoard shows them among pictures: an animated GIF, at most GIF_WIDE wide.

    GIF tells time in hundredths of a second: rates that do not divide 100 play a little off.
    """
    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary

    frames, held = [Image.fromarray(frame) for frame in beside(videos)], io.BytesIO()
    for frame in frames:
        frame.thumbnail((GIF_WIDE, GIF_WIDE))
    frames[0].save(held, "GIF", save_all=True, append_images=frames[1:], duration=1000 / fps, loop=0)
    picture = Summary.Image(
        height=frames[0].height, width=frames[0].width, colorspace=3, encoded_image_string=held.getvalue()
    )
    return Summary(value=[Summary.Value(tag=name, image=picture)])
