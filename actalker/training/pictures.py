"""Sheets and videos of samples: as files, and in every logger that takes pictures."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
from lightning.pytorch.loggers import CometLogger, Logger, MLFlowLogger
from PIL import Image
from torch import Tensor

from ..data.sample import as_uint8
from ..media.writer import VideoWriter
from ..provenance import made_by

GIF_WIDE = 1024  # pixels of all videos side by side in TensorBoard
SHEET, VIDEO = "samples", "video"  # what loggers call them


def log_pictures(
    logger: Logger, sheet: np.ndarray, frames: np.ndarray, video: Path, fps: int, step: int
) -> None:
    """Show a sheet and a video in a logger. Loggers that hold numbers alone, as CSV's, are left alone.

    Args:
        sheet: (H, W, 3) uint8.
        frames: the video's, (f, H, W, 3) uint8; video: its file.
    """
    if hasattr(logger, "log_image"):  # Lightning's own convention, WandbLogger's
        logger.log_image(SHEET, [sheet], step=step)
        if hasattr(logger, "log_video"):
            logger.log_video(VIDEO, [str(video)], step=step, format=["mp4"])
    elif isinstance(logger, MLFlowLogger):
        client, run = logger.experiment, logger.run_id
        client.log_image(run, sheet, artifact_file=f"{SHEET}/step{step:06d}.png")
        client.log_artifact(run, str(video), SHEET)
    elif isinstance(logger, CometLogger):
        logger.experiment.log_image(sheet, name=SHEET, step=step)
        logger.experiment.log_video(str(video), name=VIDEO, step=step)
    elif hasattr(logger.experiment, "add_image"):  # TensorBoard's writer, and those that copy it
        logger.experiment.add_image(SHEET, sheet, step, dataformats="HWC")
        if hasattr(logger.experiment, "file_writer"):
            logger.experiment.file_writer.add_summary(moving_picture(VIDEO, frames, fps), step)


def beside(videos: list[Tensor]) -> np.ndarray:
    """Videos (f, 3, H, W) in [0, 1] side by side, (f, H, n·W, 3) uint8."""
    return np.concatenate([as_uint8(video.cpu()).permute(0, 2, 3, 1).numpy() for video in videos], axis=2)


def write_video(path: Path, videos: list[Tensor], fps: int) -> None:
    """Videos (f, 3, H, W) in [0, 1] side by side, as MP4."""
    strip = beside(videos)
    with VideoWriter(path, Fraction(fps), strip.shape[1:3], overwrite=True, says=made_by()) as video:
        for frame in strip:
            video.write(frame)


def moving_picture(name: str, strip: np.ndarray, fps: int) -> object:
    """A video (f, H, W, 3) as TensorBoard shows it among pictures: an animated GIF, at most GIF_WIDE wide.

    GIF tells time in hundredths of a second: rates that do not divide 100 play a little off.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary

    frames, stream = [Image.fromarray(frame) for frame in strip], io.BytesIO()
    for frame in frames:
        frame.thumbnail((GIF_WIDE, GIF_WIDE))
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:], duration=1000 / fps, loop=0)
    picture = Summary.Image(
        height=frames[0].height, width=frames[0].width, colorspace=3, encoded_image_string=stream.getvalue()
    )
    return Summary(value=[Summary.Value(tag=name, image=picture)])
