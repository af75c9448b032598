"""`actalker doctor`: reports what is installed, what is missing and what to type."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import TYPE_CHECKING

from .options import new_parser, parse

if TYPE_CHECKING:
    import torch

INSTALL = {
    "mamba": "pip install --no-build-isolation 'actalker[cuda]'",
    "triton": "pip install triton",
    "numba": "pip install numba",
}
AT_HAND = "at hand"
SMALL_MEMORY = 2**30  # bytes of /dev/shm: several workers of training may need as much
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
    """Run `actalker doctor`: print what is installed, what is missing, and what to type.

    argv: the words after the command's name. Returns the exit code, 1 if a scan backend gives wrong numbers.
    """
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
    """Yield the lines of the report, each with whether all is well.

    scans: run the scan backends too, which imports torch's compiler and takes seconds.
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
        status = (
            _version(package) or f"absent; pip install {repr(f'actalker[{extra}]') if extra else package}"
        )
        yield f"  {package:16s} {status}", True
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
    """Return the version of an installed package; None where it is absent."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def shared_memory() -> str:
    """Return the size and free space of /dev/shm, in words; workers of training pass batches through it."""
    try:
        size = shutil.disk_usage("/dev/shm")
    except OSError:
        return "absent"
    mib = 2**20
    small = "; small: docker run --shm-size=8g" if size.total < SMALL_MEMORY else ""
    return f"{size.total // mib} MiB, {size.free // mib} MiB free{small}"


def scan_rows(device: str, tried: bool = True) -> Iterator[tuple[str, bool]]:
    """Yield a line for each scan backend on a device, and whether all is well: can it run, and if not, why.

    tried: whether to run it too, and compare it with the loop in float64.
    """

    from ..ssm import BACKENDS, SSD_BACKENDS
    from ..ssm.conv import package_refuses

    inputs = scan_inputs()
    u = inputs[0]
    for form, backends, scan in (("selective", BACKENDS, run_selective), ("ssd", SSD_BACKENDS, run_ssd)):
        exact = scan("reference", [t.double() for t in inputs]) if tried else u
        for name, backend in backends.items():
            start = f"  {device} {form:9s} {name:10s}"
            if (reason := backend.refuses(u.to(device))) is not None:
                hint = f"; {INSTALL[name]}" if name in INSTALL and INSTALL[name] not in reason else ""
                yield f"{start} not here: {reason}{hint}", True
                continue
            if not tried:
                yield f"{start} at hand", True
                continue
            y = scan(name, [t.to(device) for t in inputs])
            error = float((y.cpu().double() - exact).abs().max() / exact.abs().max())
            good = error < 1e-5
            yield f"{start} {'runs' if good else 'WRONG'}, {error:.1e} from the float64 loop", good
    if device == "cuda":
        reason = package_refuses(u.to(device)[0], 4)
        status = f"not here: {reason}" if reason else "runs"
        yield f"  {device} short convolution by causal_conv1d {status}", True


LENGTHS = (157, 0, 100)  # steps of the sequences that backends are tried on


def scan_inputs() -> list[torch.Tensor]:
    """Make u, delta, A, B and C of a selective scan with 24 channels and 8 states, float32 on the CPU."""
    import torch

    generator = torch.Generator().manual_seed(0)
    u, delta = (torch.randn(1, sum(LENGTHS), 24, generator=generator) for _ in range(2))
    A = -torch.rand(24, 8, generator=generator) * 4 - 0.01
    B, C = (torch.randn(1, sum(LENGTHS), 8, generator=generator) for _ in range(2))
    return [u, delta, A, B, C]


def run_selective(backend: str, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
    """Run a backend on `scan_inputs()` as a selective scan; returns y, shaped as u."""
    from ..ssm import selective_scan

    u, delta, A, B, C = inputs
    return selective_scan(
        u, delta, A, B, C, delta_softplus=True, lengths=LENGTHS, reverse=True, backend=backend
    )[0]


def run_ssd(backend: str, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
    """Run a backend on `scan_inputs()` as an SSD scan, one decay per head; returns y, (1, l, 2, 12)."""
    from ..ssm import ssd_scan

    u, delta, A, B, C = inputs
    x, dt = u.unflatten(2, (2, 12)), delta[..., :2]
    return ssd_scan(x, dt, A[:2, 0], B, C, dt_softplus=True, lengths=LENGTHS, reverse=True, backend=backend)[
        0
    ]
