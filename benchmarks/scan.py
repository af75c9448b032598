"""The selective scan against the scans of other packages: `python benchmarks/scan.py --mamba-ssm FOLDER`.

FOLDER is mamba-ssm's unpacked source archive; mambapy and einops come from the registry, the rows of the same
kernels in C++ and of the floor under both need g++. Every row is one run in which both sides took turns; a
ratio above 1 says that ours is faster.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import native
import others
import torch
from measuring import RATIOS, against, machine, medians, peak_megabytes, row, table
from torch import Tensor

from actalker.ssm import selective_scan, ssd_scan


def inputs(b: int = 1, l: int = 4096, d: int = 640, n: int = 16) -> list[Tensor]:
    make = torch.Generator().manual_seed(0)
    shapes = (b, l, d), (b, l, d), (d, n), (b, l, n), (b, l, n), (d,), (d,)
    u, delta, A, B, C, D, bias = (torch.randn(*shape, generator=make) for shape in shapes)
    return [t.requires_grad_() for t in (u, delta - 3, -A.abs() - 0.1, B, C, D, bias)]


def heads(l: int = 4096, h: int = 10, p: int = 64, n: int = 64) -> list[Tensor]:
    make = torch.Generator().manual_seed(0)
    shapes = (1, l, h, p), (1, l, h), (h,), (1, l, n), (1, l, n)
    x, dt, A, B, C = (torch.randn(*shape, generator=make) for shape in shapes)
    return [t.requires_grad_() for t in (x, torch.sigmoid(dt) * 0.1, -A.abs() - 0.1, B, C)]


def ours(backend: str) -> Callable[..., Tensor]:
    return lambda *t: selective_scan(*t, True, backend=backend)[0]


def forward(scan: Callable[..., Tensor], given: list[Tensor]) -> Callable[[], object]:
    def call() -> None:
        with torch.no_grad():
            scan(*given)

    return call


def both(scan: Callable[..., Tensor], given: list[Tensor]) -> Callable[[], object]:
    def call() -> None:
        y = scan(*given)
        torch.autograd.grad(y, given, torch.ones_like(y))

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mamba-ssm", type=Path, required=True, help="unpacked source archive")
    parser.add_argument("--length", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=3.0, help="of timing a call")
    options = parser.parse_args()
    l, folder = options.length, options.mamba_ssm
    torch.set_num_threads(1)
    print(machine())

    def timed(**calls: Callable[[], object]) -> dict[str, tuple[float, float]]:
        return medians(calls, options.seconds)

    table(RATIOS)
    given, size = inputs(l=l), f"b 1, l {l}, d 640, n 16"
    reference, pscan = others.package_reference(folder), others.mambapy()
    found = timed(
        numba=forward(ours("numba"), given),
        chunked=forward(ours("chunked"), given),
        selective_scan_ref=forward(reference, given),
        mambapy=forward(pscan, given),
        associative_scan=forward(others.associative(), given),
        transformers=forward(others.transformers_slow(), given),
    )
    for other, target in (("selective_scan_ref", 80), ("mambapy", 60)):
        against("forward", size, "numba", other, found, target)
    for other in ("associative_scan", "transformers"):
        against("forward", size, "numba", other, found)
    against("forward", size, "chunked", "mambapy", found, 4)
    found = timed(
        numba=both(ours("numba"), given), chunked=both(ours("chunked"), given), mambapy=both(pscan, given)
    )
    against("forward + backward", size, "numba", "mambapy", found, 45)
    against("forward + backward", size, "chunked", "mambapy", found, 3)

    if library := native.compiled():
        found = timed(
            numba=forward(ours("numba"), given),
            cpp=lambda: native.native_forward(library, given),
            floor=native.floor(library, l, 640, 16),
        )
        against("forward", size, "numba", "cpp", found, 0.91)
        against("forward", size, "numba", "floor", found)
        found = timed(numba=both(ours("numba"), given), cpp=lambda: native.native_both(library, given))
        against("forward + backward", size, "numba", "cpp", found, 0.91)

    low = [t.detach().bfloat16().requires_grad_() if k in (0, 1) else t for k, t in enumerate(given)]
    for what, mode in (("forward", forward), ("forward + backward", both)):
        found = timed(bfloat16=mode(ours("numba"), low), float32=mode(ours("numba"), given))
        against(f"bfloat16, {what}", size, "bfloat16", "float32", found, 0.91)

    two = inputs(b=2, l=l)

    def threads(count: int, mode: Callable[..., Callable[[], object]]) -> Callable[[], object]:
        call = mode(ours("numba"), two)

        def run() -> None:
            torch.set_num_threads(count)
            call()
            torch.set_num_threads(1)

        return run

    for what, mode in (("forward", forward), ("forward + backward", both)):
        found = timed(two_threads=threads(2, mode), one_thread=threads(1, mode))
        against(f"threads, {what}", f"b 2, l {l}, d 640, n 16", "two_threads", "one_thread", found, 1.8)

    given, size = heads(l=l), f"10 heads of 64, l {l}, n 64"
    minimal = others.ssd_minimal(folder)

    def by(backend: str) -> Callable[..., Tensor]:
        return lambda *t: ssd_scan(*t, backend=backend)[0]

    for what, mode, target in (("forward", forward, 10), ("forward + backward", both, 5)):
        found = timed(
            numba=mode(by("numba"), given),
            chunked=mode(by("chunked"), given),
            ssd_minimal=mode(minimal, given),
        )
        against(f"ssd, {what}", size, "numba", "ssd_minimal", found, target)
        against(f"ssd, {what}", size, "chunked", "ssd_minimal", found)

    table(("peak extra memory", "size", "MB", "target"))
    for name, target in (("numba", "≤ 200"), ("chunked", "")):
        used = peak_megabytes(lambda name=name: both(ours(name), inputs(l=4 * l)))
        row(f"forward + backward, {name}", f"l {4 * l}, d 640, n 16", used, target)
    used = peak_megabytes(lambda: both(pscan, inputs(l=4 * l)))
    row("forward + backward, mambapy", f"l {4 * l}, d 640, n 16", used, "")


if __name__ == "__main__":
    main()
