"""`actalker evaluate GENERATED`: measures videos, and records the protocol of the measurement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser

from ..errors import InputError, one_of
from ..provenance import check_folder, check_readable
from .options import new_parser, parse

WEIGHTS = {  # options that name files of weights: whose they are
    "syncnet": "SyncNet",
    "arcface": "ArcFace",
    "inception": "Inception",
    "i3d": "I3D",
    "backbone": "torchvision",
    "lpips": "LPIPS",
}


def parser() -> ArgumentParser:
    """The options of `evaluate`."""
    p = new_parser("evaluate", "Metrics of a video, or of a folder of them, with their protocol.")
    p.add_argument("generated", type=str, help="video, or folder of videos")
    p.add_argument("--reference", type=str | None, default=None, help="the real ones, paired by name")
    p.add_argument(
        "--metrics",
        type=str | list[str] | None,
        default=None,
        help="names, separated by commas; default: all",
    )
    p.add_argument("--out", type=str, required=True, help="folder of metrics.json, .csv and .md")
    p.add_argument("--finder", type=str, default="auto", help="of faces: landmarker, alignment or cascade")
    p.add_argument(
        "--face-model", type=str | None, default=None, help="another face_landmarker.task than the one inside"
    )
    p.add_argument("--syncnet", type=str | None, default=None, help="SyncNet's weights, syncnet_v2.model")
    p.add_argument("--arcface", type=str | None, default=None, help="insightface's r50 backbone")
    p.add_argument("--inception", type=str | None, default=None, help="TorchScript, inception-2015-12-05.pt")
    p.add_argument("--i3d", type=str | None, default=None, help="TorchScript, i3d_torchscript.pt")
    p.add_argument("--backbone", type=str | None, default=None, help="torchvision's vgg16 or alexnet, .pth")
    p.add_argument("--lpips", type=str | None, default=None, help="LPIPS' own weights, vgg.pth or alex.pth")
    return p


def run(argv: Sequence[str]) -> int:
    """Run `actalker evaluate`: measure videos, write metrics.json, .csv and .md, and print the table.

    argv: the words after the command's name. Returns the exit code.
    """
    options = parse(parser(), argv)
    if options is None:
        return 0
    from rich.console import Console
    from rich.progress import Progress

    from ..evaluation.evaluate import evaluate, markdown, write_report
    from ..evaluation.metric import Weights
    from ..evaluation.metrics import METRICS

    def path(name: str, what: str) -> Path | None:
        file = getattr(options, name)
        return None if file is None else check_readable(file, what)

    texts = [options.metrics] if isinstance(options.metrics, str) else options.metrics
    words = METRICS if texts is None else " ".join(texts).lower().replace(",", " ").split()
    names = [one_of(name, METRICS, "metric") for name in dict.fromkeys(words)]
    if not names:
        raise InputError("--metrics: names no metric; leave it out for all")
    out = check_folder(options.out)
    weights = Weights(**{name: path(name, f"file of {what} weights") for name, what in WEIGHTS.items()})
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("clips", total=None)
        report = evaluate(
            Path(options.generated),
            None if options.reference is None else Path(options.reference),
            names,
            weights,
            finder=options.finder,
            face_model=path("face_model", "face model"),
            tell=lambda name: bar.advance(task),
        )
    written = write_report(report, out)
    print(markdown(report), end="")
    print(written[0])
    return 0
