"""The table of metrics: what each is called, its unit, its formula and what it needs.

What computes them is imported when it is first called: a wrong word on the command line is told at once.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from .clip import Clip
from .metric import Measure, Metric, Pool, Weights

SYNCNET = "SyncNet at 25 fps, syncnet_python's crop (grey 110 outside, bilinear to 224, not antialiased)"


def _late(module: str, name: str) -> Any:
    return getattr(import_module(f".{module}", __package__), name)


def of(module: str, name: str) -> Measure:
    """The measure of this name in a module of this folder."""

    def measure(generated: Clip, reference: Clip | None, weights: Weights) -> float:
        return float(_late(module, name)(generated, reference, weights))

    return measure


def pooled(name: str) -> Callable[[Weights], Pool]:
    """The pool of this name among the Fréchet distances."""

    def pool(weights: Weights) -> Pool:
        computed: Pool = _late("frechet", name)(weights)
        return computed

    return pool


def load_weights(needs: set[str], weights: Weights) -> None:
    """Read the files that metrics of single clips need; pools read their own.

    Raises: InputError for files that hold other weights.
    """
    if "syncnet" in needs and weights.syncnet is not None:
        _late("sync", "sync_net")(weights.syncnet)
    if "arcface" in needs and weights.arcface is not None:
        _late("facial", "identity_net")(weights.arcface)
    if "lpips" in needs and weights.backbone is not None and weights.lpips is not None:
        _late("perceptual", "lpips_net")(weights.backbone, weights.lpips)


TABLE = (
    Metric(
        "psnr",
        unit="dB",
        better="higher",
        formula="mean over frames of 10 log10(255² / MSE), MSE 1e-10 at least: 148.1 dB for equal frames",
        measure=of("frames", "psnr"),
        needs=("reference",),
    ),
    Metric(
        "ssim",
        better="higher",
        formula="mean over frames and colours of SSIM (Wang et al. 2004), Gaussian window of 11 pixels, "
        "σ 1.5, K 0.01 and 0.03, without the outer 5 pixels",
        measure=of("frames", "ssim"),
        needs=("reference",),
        worst=0.0,
    ),
    Metric(
        "lpips",
        better="lower",
        formula="mean over frames of LPIPS 0.1, pictures in [-1, 1]",
        measure=of("perceptual", "lpips"),
        needs=("reference", "backbone", "lpips"),
    ),
    Metric(
        "fid",
        better="lower",
        formula="torchmetrics' Fréchet distance of Inception's 2048 features of all frames, which the "
        "network resizes itself; covariances over n - 1; 0 at least",
        needs=("reference", "inception"),
        pool=pooled("FID"),
    ),
    Metric(
        "fvd",
        better="lower",
        formula="Fréchet distance of I3D's features of stretches of 16 frames, stride 16, in [-1, 1], "
        "stretched to 224 x 224 (bilinear, not antialiased); covariances over n - 1; 0 at least",
        needs=("reference", "i3d"),
        pool=pooled("FVD"),
    ),
    Metric(
        "lmd",
        unit="eye distances",
        better="lower",
        formula="mean distance of landmarks to the reference's, over the distance between the "
        "reference's eyes",
        measure=of("facial", "lmd"),
        needs=("reference", "landmarks"),
    ),
    Metric(
        "mouth_lmd",
        unit="eye distances",
        better="lower",
        formula="lmd over the lips' outline alone",
        measure=of("facial", "mouth_lmd"),
        needs=("reference", "landmarks"),
    ),
    Metric(
        "csim",
        better="higher",
        formula="mean cosine of ArcFace's vectors of each frame and the reference's first; "
        "canonical square, 112",
        measure=of("facial", "csim"),
        needs=("reference", "arcface", "face"),
        worst=0.0,
    ),
    Metric(
        "identity_drift",
        better="lower",
        formula="1 - cosine of the mean ArcFace vectors of the first and the last second",
        measure=of("facial", "identity_drift"),
        needs=("arcface", "face"),
        worst=1.0,
    ),
    Metric(
        "expression_distance",
        unit="of 1",
        better="lower",
        formula="mean difference of MediaPipe's 52 blendshapes to the reference's",
        measure=of("facial", "expression_distance"),
        needs=("reference", "mesh"),
    ),
    Metric(
        "pose_distance",
        unit="degrees",
        better="lower",
        formula="mean difference to the reference's yaw, pitch and roll, from MediaPipe's "
        "transformation matrix",
        measure=of("facial", "pose_distance"),
        needs=("reference", "mesh"),
    ),
    Metric(
        "expression_transfer",
        better="higher",
        formula="mean correlation of the blendshapes that move in the reference (deviation above 0.01)",
        measure=of("facial", "expression_transfer"),
        needs=("reference", "mesh"),
        worst=0.0,
    ),
    Metric(
        "lips_follow",
        better="higher",
        formula="correlation of the inner lips' distance with the speech's loudness, the best "
        "within 2 frames",
        measure=of("sync", "lips_follow"),
        needs=("sound", "landmarks"),
        worst=0.0,
    ),
    Metric(
        "sync_c",
        better="higher",
        formula=f"{SYNCNET}: median distance over shifts of ±15 frames, less the smallest",
        measure=of("sync", "sync_c"),
        needs=("sound", "syncnet", "face"),
        worst=0.0,
    ),
    Metric(
        "sync_d",
        better="lower",
        formula=f"{SYNCNET}: smallest mean distance over shifts of ±15 frames",
        measure=of("sync", "sync_d"),
        needs=("sound", "syncnet", "face"),
    ),
    Metric(
        "blink_rate",
        unit="a minute",
        better="none",
        formula="blinks: lids below 0.75 of their usual opening, over above 0.85, at most 0.5 s",
        measure=of("facial", "blink_rate"),
        needs=("landmarks",),
    ),
    Metric(
        "blink_length",
        unit="s",
        better="none",
        formula="mean length of those blinks",
        measure=of("facial", "blink_length"),
        needs=("landmarks",),
    ),
    Metric(
        "smoothness",
        better="higher",
        formula="1 - mean |x_k - (x_(k-1) + x_(k+1)) / 2| / 255 over odd k",
        measure=of("frames", "smoothness"),
    ),
    Metric(
        "flicker",
        unit="of 255",
        better="lower",
        formula="mean |y_(k+1) - 2 y_k + y_(k-1)| of the mean luminance",
        measure=of("frames", "flicker"),
    ),
    Metric(
        "seam",
        better="lower",
        formula="largest mean jump between frames over the median one",
        measure=of("frames", "seam"),
    ),
    Metric(
        "colour_drift",
        unit="of 255",
        better="lower",
        formula="length of the last second's mean colour less the first's",
        measure=of("frames", "colour_drift"),
    ),
    Metric(
        "background",
        unit="of 255",
        better="lower",
        formula="mean |x_k - x_0| outside the rectangle around all of the face's boxes",
        measure=of("frames", "background"),
        needs=("face",),
    ),
    Metric(
        "av_length",
        unit="s",
        better="lower",
        formula="|length of pictures - length of sound|",
        measure=of("sync", "av_length"),
        needs=("sound",),
    ),
)
METRICS = {metric.name: metric for metric in TABLE}
