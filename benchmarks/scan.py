"""The selective scan against the scans of other packages: `python benchmarks/scan.py --mamba-ssm FOLDER`.

FOLDER is mamba-ssm's unpacked source archive. mambapy and einops come from the package registry. The rows of
the same kernels in C++, and of the floor under both, need g++. In every row both sides took turns in one run;
a ratio above 1 says that ours is faster.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import native
import others
import torch
from measuring import RATIOS, Call, Comparison, machine, medians, peak_megabytes, row, table
from torch import Tensor

from actalker.ssm import selective_scan, ssd_scan

Scan = Callable[..., Tensor]
Mode = Callable[[Scan, list[Tensor]], Call]


def inputs(b: int = 1, l: int = 4096, d: int = 640, n: int = 16) -> list[Tensor]:
    """Random arguments of `selective_scan` that take gradients: u, delta, A, B, C, D and delta's bias."""
    make = torch.Generator().manual_seed(0)
    shapes = (b, l, d), (b, l, d), (d, n), (b, l, n), (b, l, n), (d,), (d,)
    u, delta, A, B, C, D, bias = (torch.randn(*shape, generator=make) for shape in shapes)
    return [t.requires_grad_() for t in (u, delta - 3, -A.abs() - 0.1, B, C, D, bias)]


def heads(l: int = 4096, h: int = 10, p: int = 64, n: int = 64) -> list[Tensor]:
    """Random arguments of `ssd_scan` that take gradients: x, dt, A, B and C, of h heads of p channels."""
    make = torch.Generator().manual_seed(0)
    shapes = (1, l, h, p), (1, l, h), (h,), (1, l, n), (1, l, n)
    x, dt, A, B, C = (torch.randn(*shape, generator=make) for shape in shapes)
    return [t.requires_grad_() for t in (x, torch.sigmoid(dt) * 0.1, -A.abs() - 0.1, B, C)]


def ours(backend: str) -> Scan:
    """Our selective scan by a backend, which returns y alone."""
    return lambda *t: selective_scan(*t, True, backend=backend)[0]


def ours_ssd(backend: str) -> Scan:
    """Our scan of heads by a backend, which returns y alone."""
    return lambda *t: ssd_scan(*t, backend=backend)[0]


def forward(scan: Scan, arguments: list[Tensor]) -> Call:
    """A call of the scan without gradients."""

    def call() -> None:
        with torch.no_grad():
            scan(*arguments)

    return call


def both(scan: Scan, arguments: list[Tensor]) -> Call:
    """A call of the scan and of its backward pass, for gradients of all arguments."""

    def call() -> None:
        y = scan(*arguments)
        torch.autograd.grad(y, arguments, torch.ones_like(y))

    return call


MODES: tuple[tuple[str, Mode], ...] = (("forward", forward), ("forward + backward", both))


def other_packages(l: int, folder: Path, seconds: float) -> None:
    """Rows of our backends against the scans of other packages."""
    arguments, size = inputs(l=l), f"b 1, l {l}, d 640, n 16"
    pscan = others.mambapy()
    times = medians(
        {
            "numba": forward(ours("numba"), arguments),
            "chunked": forward(ours("chunked"), arguments),
            "selective_scan_ref": forward(others.package_reference(folder), arguments),
            "mambapy": forward(pscan, arguments),
            "associative_scan": forward(others.associative(), arguments),
            "transformers": forward(others.transformers_slow(), arguments),
        },
        seconds,
    )
    compared = Comparison(size, times)
    compared.row("forward", "numba", "selective_scan_ref", 80)
    compared.row("forward", "numba", "mambapy", 60)
    compared.row("forward", "numba", "associative_scan")
    compared.row("forward", "numba", "transformers")
    compared.row("forward", "chunked", "mambapy", 4)
    scans = {"numba": ours("numba"), "chunked": ours("chunked"), "mambapy": pscan}
    times = medians({name: both(scan, arguments) for name, scan in scans.items()}, seconds)
    compared = Comparison(size, times)
    compared.row("forward + backward", "numba", "mambapy", 45)
    compared.row("forward + backward", "chunked", "mambapy", 3)


def native_code(l: int, seconds: float) -> None:
    """Rows of our kernels against the same in C++ and against the floor, where there is a compiler."""
    library = native.compiled()
    if library is None:
        return
    arguments, size = inputs(l=l), f"b 1, l {l}, d 640, n 16"
    calls: dict[str, Call] = {
        "numba": forward(ours("numba"), arguments),
        "cpp": lambda: native.native_forward(library, arguments),
        "floor": native.floor(library, l, 640, 16),
    }
    compared = Comparison(size, medians(calls, seconds))
    compared.row("forward", "numba", "cpp", 0.91)
    compared.row("forward", "numba", "floor")
    calls = {
        "numba": both(ours("numba"), arguments),
        "cpp": lambda: native.native_both(library, arguments),
    }
    Comparison(size, medians(calls, seconds)).row("forward + backward", "numba", "cpp", 0.91)


def precision(l: int, seconds: float) -> None:
    """Rows of bfloat16 inputs against float32."""
    arguments, size = inputs(l=l), f"b 1, l {l}, d 640, n 16"
    low = [t.detach().bfloat16().requires_grad_() if k in (0, 1) else t for k, t in enumerate(arguments)]
    for what, mode in MODES:
        calls = {"bfloat16": mode(ours("numba"), low), "float32": mode(ours("numba"), arguments)}
        times = medians(calls, seconds)
        Comparison(size, times).row(f"bfloat16, {what}", "bfloat16", "float32", 0.91)


def threads(l: int, seconds: float) -> None:
    """Rows of two threads against one."""
    arguments = inputs(b=2, l=l)

    def with_threads(count: int, mode: Mode) -> Call:
        call = mode(ours("numba"), arguments)

        def run() -> None:
            torch.set_num_threads(count)
            call()
            torch.set_num_threads(1)

        return run

    for what, mode in MODES:
        times = medians({"two_threads": with_threads(2, mode), "one_thread": with_threads(1, mode)}, seconds)
        compared = Comparison(f"b 2, l {l}, d 640, n 16", times)
        compared.row(f"threads, {what}", "two_threads", "one_thread", 1.8)


def scans_of_heads(l: int, folder: Path, seconds: float) -> None:
    """Rows of our scan of heads (Mamba-2) against mamba-ssm's minimal one."""
    arguments, size = heads(l=l), f"10 heads of 64, l {l}, n 64"
    scans = {
        "numba": ours_ssd("numba"),
        "chunked": ours_ssd("chunked"),
        "ssd_minimal": others.ssd_minimal(folder),
    }
    for (what, mode), target in zip(MODES, (10, 5), strict=True):
        times = medians({name: mode(scan, arguments) for name, scan in scans.items()}, seconds)
        compared = Comparison(size, times)
        compared.row(f"ssd, {what}", "numba", "ssd_minimal", target)
        compared.row(f"ssd, {what}", "chunked", "ssd_minimal")


def memory(l: int) -> None:
    """Rows of the peak memory of a forward and a backward pass over a long sequence."""
    table(("peak extra memory", "size", "MB", "target"))
    scans = {"numba": ours("numba"), "chunked": ours("chunked"), "mambapy": others.mambapy()}
    for name, scan in scans.items():
        used = peak_megabytes(lambda scan=scan: both(scan, inputs(l=l)))
        target = "≤ 200" if name == "numba" else ""
        row(f"forward + backward, {name}", f"l {l}, d 640, n 16", used, target)


def main() -> None:
    """Reads the command line, measures, and prints Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mamba-ssm", type=Path, required=True, help="unpacked source archive")
    parser.add_argument("--length", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=3.0, help="of timing a call")
    options = parser.parse_args()
    l, folder, seconds = options.length, options.mamba_ssm, options.seconds
    torch.set_num_threads(1)
    print(machine())
    table(RATIOS)
    other_packages(l, folder, seconds)
    native_code(l, seconds)
    precision(l, seconds)
    threads(l, seconds)
    scans_of_heads(l, folder, seconds)
    memory(4 * l)


if __name__ == "__main__":
    main()
