"""The table of metrics: what each is called, its unit, its formula and what it needs.

What computes them is imported when it is first called: a wrong word on the command line is told at once.
"""

from __future__ import annotations

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


def pooled(name: str) -> Any:
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


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "psnr",
            "dB",
            "higher",
            "mean over frames of 10 log10(255² / MSE), MSE 1e-10 at least: 148.1 dB for equal frames",
            of("frames", "psnr"),
            ("reference",),
        ),
        Metric(
            "ssim",
            "",
            "higher",
            "mean over frames and colours of SSIM (Wang et al. 2004), Gaussian window of 11 pixels, "
            "σ 1.5, K 0.01 and 0.03, without the outer 5 pixels",
            of("frames", "ssim"),
            ("reference",),
            0.0,
        ),
        Metric(
            "lpips",
            "",
            "lower",
            "mean over frames of LPIPS 0.1, pictures in [-1, 1]",
            of("perceptual", "lpips"),
            ("reference", "backbone", "lpips"),
        ),
        Metric(
            "fid",
            "",
            "lower",
            "torchmetrics' Fréchet distance of Inception's 2048 features of all frames, which the network "
            "resizes itself; covariances over n - 1; 0 at least",
            None,
            ("reference", "inception"),
            pool=pooled("FID"),
        ),
        Metric(
            "fvd",
            "",
            "lower",
            "Fréchet distance of I3D's features of stretches of 16 frames, stride 16, in [-1, 1], "
            "stretched to 224 x 224 (bilinear, not antialiased); covariances over n - 1; 0 at least",
            None,
            ("reference", "i3d"),
            pool=pooled("FVD"),
        ),
        Metric(
            "lmd",
            "eye distances",
            "lower",
            "mean distance of landmarks to the reference's, over the distance between the reference's eyes",
            of("facial", "lmd"),
            ("reference", "landmarks"),
        ),
        Metric(
            "mouth_lmd",
            "eye distances",
            "lower",
            "lmd over the lips' outline alone",
            of("facial", "mouth_lmd"),
            ("reference", "landmarks"),
        ),
        Metric(
            "csim",
            "",
            "higher",
            "mean cosine of ArcFace's vectors of each frame and the reference's first; canonical square, 112",
            of("facial", "csim"),
            ("reference", "arcface", "face"),
            0.0,
        ),
        Metric(
            "identity_drift",
            "",
            "lower",
            "1 - cosine of the mean ArcFace vectors of the first and the last second",
            of("facial", "identity_drift"),
            ("arcface", "face"),
            1.0,
        ),
        Metric(
            "expression_distance",
            "of 1",
            "lower",
            "mean difference of MediaPipe's 52 blendshapes to the reference's",
            of("facial", "expression_distance"),
            ("reference", "mesh"),
        ),
        Metric(
            "pose_distance",
            "degrees",
            "lower",
            "mean difference to the reference's yaw, pitch and roll, from MediaPipe's transformation matrix",
            of("facial", "pose_distance"),
            ("reference", "mesh"),
        ),
        Metric(
            "expression_transfer",
            "",
            "higher",
            "mean correlation of the blendshapes that move in the reference (deviation above 0.01)",
            of("facial", "expression_transfer"),
            ("reference", "mesh"),
            0.0,
        ),
        Metric(
            "lips_follow",
            "",
            "higher",
            "correlation of the inner lips' distance with the speech's loudness, the best within 2 frames",
            of("sync", "lips_follow"),
            ("sound", "landmarks"),
            0.0,
        ),
        Metric(
            "sync_c",
            "",
            "higher",
            f"{SYNCNET}: median distance over shifts of ±15 frames, less the smallest",
            of("sync", "sync_c"),
            ("sound", "syncnet", "face"),
            0.0,
        ),
        Metric(
            "sync_d",
            "",
            "lower",
            f"{SYNCNET}: smallest mean distance over shifts of ±15 frames",
            of("sync", "sync_d"),
            ("sound", "syncnet", "face"),
        ),
        Metric(
            "blink_rate",
            "a minute",
            "none",
            "blinks: lids below 0.75 of their usual opening, over above 0.85, at most 0.5 s",
            of("facial", "blink_rate"),
            ("landmarks",),
        ),
        Metric(
            "blink_length",
            "s",
            "none",
            "mean length of those blinks",
            of("facial", "blink_length"),
            ("landmarks",),
        ),
        Metric(
            "smoothness",
            "",
            "higher",
            "1 - mean |x_k - (x_(k-1) + x_(k+1)) / 2| / 255 over odd k",
            of("frames", "smoothness"),
        ),
        Metric(
            "flicker",
            "of 255",
            "lower",
            "mean |y_(k+1) - 2 y_k + y_(k-1)| of the mean luminance",
            of("frames", "flicker"),
        ),
        Metric(
            "seam", "", "lower", "largest mean jump between frames over the median one", of("frames", "seam")
        ),
        Metric(
            "colour_drift",
            "of 255",
            "lower",
            "length of the last second's mean colour less the first's",
            of("frames", "colour_drift"),
        ),
        Metric(
            "background",
            "of 255",
            "lower",
            "mean |x_k - x_0| outside the rectangle around all of the face's boxes",
            of("frames", "background"),
            ("face",),
        ),
        Metric(
            "av_length",
            "s",
            "lower",
            "|length of pictures - length of sound|",
            of("sync", "av_length"),
            ("sound",),
        ),
    )
}
