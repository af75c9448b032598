"""The table of metrics: what each is called, its unit, its formula and what it needs."""

from __future__ import annotations

from .facial import (
    blink_length,
    blink_rate,
    csim,
    expression_distance,
    expression_transfer,
    identity_drift,
    identity_net,
    lmd,
    mouth_lmd,
    pose_distance,
)
from .frames import background, colour_drift, flicker, psnr, seam, smoothness, ssim
from .frechet import FID, FVD
from .metric import Metric, Weights
from .perceptual import lpips, lpips_net
from .sync import av_length, lips_follow, sync_c, sync_d, sync_net

SYNCNET = "SyncNet at 25 fps, syncnet_python's crop (grey 110 outside, bilinear to 224, not antialiased)"


def load_weights(needs: set[str], weights: Weights) -> None:
    """Read the files that metrics need. Raises: InputError for files that hold other weights."""
    if "syncnet" in needs and weights.syncnet is not None:
        sync_net(weights.syncnet)
    if "arcface" in needs and weights.arcface is not None:
        identity_net(weights.arcface)
    if "lpips" in needs and weights.backbone is not None and weights.lpips is not None:
        lpips_net(weights.backbone, weights.lpips)
    if "inception" in needs and weights.inception is not None:
        FID(weights)
    if "i3d" in needs and weights.i3d is not None:
        FVD(weights)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("psnr", "dB", "higher", "mean over frames of 10 log10(255² / MSE)", psnr, ("reference",)),
        Metric(
            "ssim",
            "",
            "higher",
            "mean over frames of SSIM (Wang et al. 2004), Gaussian window, σ 1.5",
            ssim,
            ("reference",),
            0.0,
        ),
        Metric(
            "lpips",
            "",
            "lower",
            "mean over frames of LPIPS 0.1, pictures in [-1, 1]",
            lpips,
            ("reference", "backbone", "lpips"),
        ),
        Metric(
            "fid",
            "",
            "lower",
            "torchmetrics' Fréchet distance of Inception's 2048 features of all frames",
            None,
            ("reference", "inception"),
            pool=FID,
        ),
        Metric(
            "fvd",
            "",
            "lower",
            "Fréchet distance of I3D's features of stretches of 16 frames, stride 16, 224 pixels, in [-1, 1]",
            None,
            ("reference", "i3d"),
            pool=FVD,
        ),
        Metric(
            "lmd",
            "eye distances",
            "lower",
            "mean distance of landmarks to the reference's, over the distance between the reference's eyes",
            lmd,
            ("reference", "landmarks"),
        ),
        Metric(
            "mouth_lmd",
            "eye distances",
            "lower",
            "lmd over the lips' outline alone",
            mouth_lmd,
            ("reference", "landmarks"),
        ),
        Metric(
            "csim",
            "",
            "higher",
            "mean cosine of ArcFace's vectors of each frame and the reference's first; canonical square, 112",
            csim,
            ("reference", "arcface", "face"),
            0.0,
        ),
        Metric(
            "identity_drift",
            "",
            "lower",
            "1 - cosine of the mean ArcFace vectors of the first and the last second",
            identity_drift,
            ("arcface", "face"),
            1.0,
        ),
        Metric(
            "expression_distance",
            "of 1",
            "lower",
            "mean difference of MediaPipe's 52 blendshapes to the reference's",
            expression_distance,
            ("reference", "mesh"),
        ),
        Metric(
            "pose_distance",
            "degrees",
            "lower",
            "mean difference to the reference's yaw, pitch and roll, from MediaPipe's transformation matrix",
            pose_distance,
            ("reference", "mesh"),
        ),
        Metric(
            "expression_transfer",
            "",
            "higher",
            "mean correlation of the blendshapes that move in the reference (deviation above 0.01)",
            expression_transfer,
            ("reference", "mesh"),
            0.0,
        ),
        Metric(
            "lips_follow",
            "",
            "higher",
            "correlation of the inner lips' distance with the speech's loudness, the best within 2 frames",
            lips_follow,
            ("sound", "landmarks"),
            0.0,
        ),
        Metric(
            "sync_c",
            "",
            "higher",
            f"{SYNCNET}: median distance over shifts of ±15 frames, less the smallest",
            sync_c,
            ("sound", "syncnet", "face"),
            0.0,
        ),
        Metric(
            "sync_d",
            "",
            "lower",
            f"{SYNCNET}: smallest mean distance over shifts of ±15 frames",
            sync_d,
            ("sound", "syncnet", "face"),
        ),
        Metric(
            "blink_rate",
            "a minute",
            "none",
            "blinks: lids below 0.75 of their usual opening, over above 0.85, at most 0.5 s",
            blink_rate,
            ("landmarks",),
        ),
        Metric("blink_length", "s", "none", "mean length of those blinks", blink_length, ("landmarks",)),
        Metric(
            "smoothness",
            "",
            "higher",
            "1 - mean |x_k - (x_(k-1) + x_(k+1)) / 2| / 255 over odd k",
            smoothness,
        ),
        Metric(
            "flicker", "of 255", "lower", "mean |y_(k+1) - 2 y_k + y_(k-1)| of the mean luminance", flicker
        ),
        Metric("seam", "", "lower", "largest mean jump between frames over the median one", seam),
        Metric(
            "colour_drift",
            "of 255",
            "lower",
            "length of the last second's mean colour less the first's",
            colour_drift,
        ),
        Metric(
            "background",
            "of 255",
            "lower",
            "mean |x_k - x_0| outside the rectangle around all of the face's boxes",
            background,
            ("face",),
        ),
        Metric("av_length", "s", "lower", "|length of pictures - length of sound|", av_length, ("sound",)),
    )
}
