"""`actalker doctor`: what is there, what is missing, what to type."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from importlib import metadata

from .options import new_parser, parse

INSTALL = {
    "mamba": "pip install --no-build-isolation 'actalker[cuda]'",
    "triton": "pip install triton",
    "numba": "pip install 'actalker[cpu]'",
}
PACKAGES = {  # package: the extra that installs it
    "torch": "",
    "diffusers": "",
    "transformers": "",
    "av": "",
    "numba": "cpu",
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
    """Print the report. The exit code is 1 if a backend that runs gives wrong numbers."""
    options = parse(new_parser("doctor", "What is there, what is missing, what to type."), argv)
    if options is None:
        return 0
    wrong = False
    for line, good in report():
        print(line)
        wrong |= not good
    return int(wrong)


def report() -> Iterator[tuple[str, bool]]:
    """Lines, and whether what they say is as it should be."""
    import torch

    from .. import __version__
    from ..faces.find import finder_status
    from ..pipeline.find import shipped

    machine = f"{platform.system()} {platform.machine()}"
    yield f"actalker {__version__}, Python {platform.python_version()}, {machine}", True
    devices = [
        "cpu",
        *(["cuda"] if torch.cuda.is_available() else []),
        *(["mps"] if torch.backends.mps.is_available() else []),
    ]
    yield f"devices: {', '.join(devices)}; {torch.get_num_threads()} CPU threads", True
    yield "\nscan backends", True
    for device in devices:
        yield from scan_rows(device)
    yield "\nface finders", True
    for name, status in finder_status().items():
        yield f"  {name:12s} {status}", True
    yield "\nmodels that come with the package", True
    yield f"  {', '.join(shipped()) or 'none'}", True
    yield "\npackages", True
    for package, extra in PACKAGES.items():
        try:
            found = metadata.version(package)
        except metadata.PackageNotFoundError:
            found = f"-  pip install {repr(f'actalker[{extra}]') if extra else package}"
        yield f"  {package:16s} {found}", True


def scan_rows(device: str) -> Iterator[tuple[str, bool]]:
    """Each backend on a device: whether it runs, and how far it is from the loop in float64."""
    import torch

    from ..ssm.conv import package_refuses
    from ..ssm.scan import BACKENDS, selective_scan
    from ..ssm.ssd import SSD_BACKENDS, ssd_scan

    generator = torch.Generator().manual_seed(0)
    u, delta = (torch.randn(1, 257, 24, generator=generator) for _ in range(2))
    A = -torch.rand(24, 8, generator=generator) * 4 - 0.01
    B, C = (torch.randn(1, 257, 8, generator=generator) for _ in range(2))
    lengths = [157, 0, 100]

    def selective(backend: str, place: str, dtype: torch.dtype) -> torch.Tensor:
        x, dt, a, b, c = (t.to(place, dtype) for t in (u, delta, A, B, C))
        options = {"delta_softplus": True, "lengths": lengths, "reverse": True}
        return selective_scan(x, dt, a, b, c, **options, backend=backend)  # type: ignore[arg-type]

    def heads(backend: str, place: str, dtype: torch.dtype) -> torch.Tensor:
        given = (u.unflatten(2, (2, 12)), delta[..., :2], A[:2, 0], B, C)
        x, dt, a, b, c = (t.to(place, dtype) for t in given)
        options = {"dt_softplus": True, "lengths": lengths, "reverse": True}
        return ssd_scan(x, dt, a, b, c, **options, backend=backend)[0]  # type: ignore[arg-type]

    for form, backends, scan in (("selective", BACKENDS, selective), ("ssd", SSD_BACKENDS, heads)):
        exact = scan("reference", "cpu", torch.float64)
        for name, backend in backends.items():
            start = f"  {device} {form:9s} {name:10s}"
            if (reason := backend.refuses(u.to(device))) is not None:
                hint = f"; {INSTALL[name]}" if name in INSTALL and INSTALL[name] not in reason else ""
                yield f"{start} not here: {reason}{hint}", True
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
