"""The speed of preparing and reading data, as ratios within one run.

    python benchmarks/prepare.py CLIPS [--copies 2] [--many 10000]

CLIPS is a folder of real clips. The rows compare `actalker prepare` with the obvious script (frames by
ffmpeg, one detector call a frame, crops written, one after another), two workers with one, and reading of
decoded shards with training steps of `configs/tiny.yaml`. With --many they add the memory of the driver and
its workers over so many hard links of one short clip, which is rejected after it was decoded.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

ROOT = Path(__file__).parents[1]


def copies(source: Path, folder: Path, count: int) -> Path:
    """Fills a folder with hard links, `count` to every clip of `source`, and returns it."""
    folder.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        for k in range(count):
            os.link(path, folder / f"{k:05d}_{path.name}")
    return folder


def prepare(source: Path, out: Path, *words: str) -> tuple[float, list[tuple[float, float]]]:
    """Runs `actalker prepare`: its seconds, and over time (seconds, MiB of the driver and its workers)."""
    command = [sys.executable, "-m", "actalker", "prepare", str(source), "--out", str(out), *words]
    start = time.perf_counter()
    process = psutil.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    used: list[tuple[float, float]] = []

    def watch() -> None:
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            try:
                family = [process, *process.children(recursive=True)]
                size = sum(one.memory_info().rss for one in family)
            except psutil.NoSuchProcess:
                continue
            used.append((time.perf_counter() - start, size / 2**20))
            time.sleep(0.5)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    if process.wait():
        raise SystemExit(f"prepare ended with {process.returncode}")
    return time.perf_counter() - start, used


def obvious(source: Path, out: Path) -> float:
    """Seconds of the obvious script: frames by ffmpeg, one detector call a frame, face crops written."""
    from PIL import Image

    from actalker.faces.crop import canonical_crop
    from actalker.faces.landmarker import find_by_landmarker
    from actalker.media.image import read_image

    start = time.perf_counter()
    for clip in sorted(source.iterdir()):
        frames = out / clip.stem
        frames.mkdir(parents=True)
        subprocess.run(
            ["ffmpeg", "-v", "error", "-i", str(clip), "-r", "25", str(frames / "%06d.png")], check=True
        )
        subprocess.run(
            ["ffmpeg", "-v", "error", "-i", str(clip), "-ac", "1", "-ar", "16000", str(frames / "sound.wav")],
            check=False,
        )
        for path in sorted(frames.glob("*.png")):
            picture = read_image(path)
            faces = find_by_landmarker(picture)
            if faces:
                cut = canonical_crop(faces[0]).apply(picture, 512)
                Image.fromarray(cut).save(path.with_suffix(".jpg"), quality=95)
    return time.perf_counter() - start


def loader(shards: Path, seconds: float) -> float:
    """Clips a second that one process reads from decoded shards, measured over `seconds`."""
    from actalker.data.clips import ClipDataConfig, ClipDataset

    data = ClipDataset(ClipDataConfig(str(shards), frames=14, size=128, held_out=0.0))
    data[0]
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        data[count]
        count += 1
    return count / (time.perf_counter() - start)


def training() -> float:
    """Clips a second that training steps of `configs/tiny.yaml` consume in one process, as whole windows."""
    import torch
    import yaml

    from actalker.data.puppets.dataset import PuppetDataConfig, PuppetDataset
    from actalker.data.sample import collate
    from actalker.diffusion.objective import ObjectiveConfig
    from actalker.pipeline.model.model import ModelConfig
    from actalker.training.module import StrategyConfig, TrainingModule
    from actalker.training.optimizer import OptimizerConfig

    torch.set_num_threads(1)
    model = yaml.safe_load((ROOT / "configs/tiny.yaml").read_text())["model"]["model"]
    module = TrainingModule(
        ModelConfig.from_dict(model), ObjectiveConfig(), OptimizerConfig(), StrategyConfig()
    )
    data = PuppetDataset(PuppetDataConfig(frames=14, size=128), 4)
    batch = collate([data[k] for k in range(2)])
    times = []
    for step in range(4):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            loss = module.step_loss(batch, step)[0]
        loss.backward()
        times.append(time.perf_counter() - start)
    return 2 / float(np.median(times[1:]))


def main() -> None:
    """Reads the command line, measures, and prints Markdown rows."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("clips", type=Path)
    p.add_argument("--copies", type=int, default=2)
    p.add_argument("--many", type=int, default=0)
    options = p.parse_args()
    print(f"{psutil.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| what | ours | other | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        if options.copies:
            speed(options.clips, Path(name), options.copies)
        if options.many:
            memory(options.clips, Path(name), options.many)


def speed(clips: Path, root: Path, times: int) -> None:
    """Prints rows of clips a minute, of clips a second that training reads, and of the peak memory."""
    source = copies(clips, root / "source", times)
    count = len(list(source.iterdir()))
    words = ("--probe.sound", "optional", "--pixels.size", "160")
    one, used = prepare(source, root / "one", *words, "--workers", "1")
    two, _ = prepare(source, root / "two", *words, "--workers", "2")
    plain = obvious(source, root / "obvious")
    row("clips a minute, 1 worker; the obvious script", 60 * count / one, 60 * count / plain)
    row("clips a minute, 2 workers; the obvious script", 60 * count / two, 60 * count / plain)
    row("clips a minute, 2 workers; 1 worker", 60 * count / two, 60 * count / one)
    row("decoded clips read a second; clips trained a second", loader(root / "one/shards", 10.0), training())
    print(f"| peak memory, 1 worker, MiB | {max(size for _, size in used):.0f} | | |", flush=True)


def memory(clips: Path, root: Path, count: int) -> None:
    """Prints rows of the memory over `count` clips, and of clips a minute."""
    short = root / "short"
    short.mkdir()
    cut = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(sorted(clips.iterdir())[0]),
        "-t",
        "0.4",
        str(short / "clip.mp4"),
    ]
    subprocess.run(cut, check=True)
    loose = (
        "--probe.sound",
        "optional",
        "--cut_limits.shortest",
        "0.2",
        "--track_limits.face_height",
        "5000",
    )
    seconds, used = prepare(copies(short, root / "many", count), root / "out", *loose)
    third = len(used) // 3
    middle, last = used[third : 2 * third], used[-third:]
    early, late = (float(np.median([size for _, size in part])) for part in (middle, last))
    row(f"MiB, last third of {count} clips; middle third", late, early)
    print(f"| clips a minute that are rejected after tracking | {60 * count / seconds:.0f} | | |")


def row(what: str, ours: float, other: float) -> None:
    """Prints a Markdown row of two numbers and their ratio."""
    print(f"| {what} | {ours:.2f} | {other:.2f} | {ours / other:.2f} |", flush=True)


if __name__ == "__main__":
    main()
