"""`actalker doctor`: what is there, what is missing, what to type."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator, Sequence
from importlib import metadata

from .options import new_parser, parse

INSTALL = {
    "mamba": "pip install --no-build-isolation 'actalker[cuda]'",
    "triton": "pip install triton",
    "numba": "pip install numba",
}
AT_HAND = "at hand"
SMALL_MEMORY = 2**30  # bytes of /dev/shm: several workers of training may want as much
PACKAGES = {  # package: the extra that installs it
    "torch": "",
    "diffusers": "",
    "transformers": "",
    "numba": "",
    "mediapipe": "",
    "face-alignment": "alignment",
    "lightning": "train",
    "peft": "train",
    "scenedetect": "data",
    "pyarrow": "data",
    "ray": "cluster",
    "matplotlib": "eval",
}


def run(argv: Sequence[str]) -> int:
    """Print the report. The exit code is 1 if a backend that is run gives wrong numbers."""
    p = new_parser("doctor", "What is there, what is missing, what to type.")
    p.add_argument("--scans", action="store_true", help="run every scan backend against the loop in float64")
    options = parse(p, argv)
    if options is None:
        return 0
    wrong = False
    for line, good in report(options.scans):
        print(line)
        wrong |= not good
    return int(wrong)


def report(scans: bool = False) -> Iterator[tuple[str, bool]]:
    """Lines, and whether what they say is as it should be; first what decides the result.

    scans: whether scan backends are run, which imports torch's compiler and takes seconds.
    """
    from .. import __version__
    from ..faces.find import finder_status
    from ..pipeline.model.find import shipped

    machine = f"{platform.system()} {platform.machine()}"
    yield f"actalker {__version__}, Python {platform.python_version()}, {machine}", True
    yield "\nface finders", True
    finders = finder_status()
    best = next((name for name, status in finders.items() if status == AT_HAND), None)
    for name, status in finders.items():
        yield f"  {name:16s} {status}{', and used' if name == best else ''}", True
    yield "\nmodels that come with the package", True
    yield f"  {', '.join(shipped()) or 'none'}", True
    yield "\nmedia and memory", True
    yield f"  {'video and sound':16s} PyAV {_version('av') or 'absent; pip install av'}", True
    heif = _version("pillow-heif")
    heic = "absent; pip install 'actalker[heif]'" if heif is None else f"pillow-heif {heif}"
    yield f"  {'HEIC pictures':16s} {heic}", True
    yield f"  {'/dev/shm':16s} {shared_memory()}", True
    yield "\npackages", True
    for package, extra in PACKAGES.items():
        found = _version(package) or f"absent; pip install {repr(f'actalker[{extra}]') if extra else package}"
        yield f"  {package:16s} {found}", True
    import torch

    yield f"\nscan backends{'' if scans else ' (--scans runs them)'}", True
    devices = [
        "cpu",
        *(["cuda"] if torch.cuda.is_available() else []),
        *(["mps"] if torch.backends.mps.is_available() else []),
    ]
    yield f"  devices: {', '.join(devices)}; {torch.get_num_threads()} CPU threads", True
    for device in devices:
        yield from scan_rows(device, scans)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def shared_memory() -> str:
    """How large the folder is through which training's workers pass batches, and how much of it is free."""
    try:
        size = shutil.disk_usage("/dev/shm")
    except OSError:
        return "absent"
    mib = 2**20
    small = "; small: docker run --shm-size=8g" if size.total < SMALL_MEMORY else ""
    return f"{size.total // mib} MiB, {size.free // mib} MiB free{small}"


def scan_rows(device: str, tried: bool = True) -> Iterator[tuple[str, bool]]:
    """Each backend on a device: whether it can run; if tried, how far it is from the loop in float64."""
    import torch

    from ..ssm import BACKENDS, SSD_BACKENDS, selective_scan, ssd_scan
    from ..ssm.conv import package_refuses

    generator = torch.Generator().manual_seed(0)
    u, delta = (torch.randn(1, 257, 24, generator=generator) for _ in range(2))
    A = -torch.rand(24, 8, generator=generator) * 4 - 0.01
    B, C = (torch.randn(1, 257, 8, generator=generator) for _ in range(2))
    lengths = [157, 0, 100]

    def selective(backend: str, place: str, dtype: torch.dtype) -> torch.Tensor:
        x, dt, a, b, c = (t.to(place, dtype) for t in (u, delta, A, B, C))
        options = {"delta_softplus": True, "lengths": lengths, "reverse": True}
        return selective_scan(x, dt, a, b, c, **options, backend=backend)[0]  # type: ignore[arg-type]

    def heads(backend: str, place: str, dtype: torch.dtype) -> torch.Tensor:
        given = (u.unflatten(2, (2, 12)), delta[..., :2], A[:2, 0], B, C)
        x, dt, a, b, c = (t.to(place, dtype) for t in given)
        options = {"dt_softplus": True, "lengths": lengths, "reverse": True}
        return ssd_scan(x, dt, a, b, c, **options, backend=backend)[0]  # type: ignore[arg-type]

    for form, backends, scan in (("selective", BACKENDS, selective), ("ssd", SSD_BACKENDS, heads)):
        exact = scan("reference", "cpu", torch.float64) if tried else u
        for name, backend in backends.items():
            start = f"  {device} {form:9s} {name:10s}"
            if (reason := backend.refuses(u.to(device))) is not None:
                hint = f"; {INSTALL[name]}" if name in INSTALL and INSTALL[name] not in reason else ""
                yield f"{start} not here: {reason}{hint}", True
                continue
            if not tried:
                yield f"{start} at hand", True
                continue
            made = scan(name, device, torch.float32)
            error = float((made.cpu().double() - exact).abs().max() / exact.abs().max())
            good = error < 1e-5
            yield f"{start} {'runs' if good else 'WRONG'}, {error:.1e} from the float64 loop", good
    if device == "cuda":
        reason = package_refuses(u.to(device)[0], 4)
        yield (
            f"  {device} short convolution by causal_conv1d {'not here: ' + reason if reason else 'runs'}",
            True,
        )
