"""One parallel-control layer: what mask-drop saves, and what the scan makes of it.

    python benchmarks/pcm.py --mamba-ssm FOLDER [--channels 320] [--side 64] [--frames 2] [--svd]

FOLDER is mamba-ssm's unpacked source archive, whose `selective_scan_ref` stands in the place of our scan in
the layer that is compared with. Both branches are open, and keep the same share of every frame's tokens.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import others
import torch
from measuring import RATIOS, Times, against, machine, medians, table
from torch import Tensor

from actalker.control.conditions import Conditions
from actalker.control.config import BranchConfig
from actalker.control.parallel import ParallelControl
from actalker.control.pass_ import Pass
from actalker.ssm.backends import Backend, ScanCall
from actalker.ssm.selective import scan

REFERENCE = "selective_scan_ref"
SIGNALS = ("audio", "expression")
NUMBERS = 32  # tokens a frame of a signal, of identity


def pass_of(share: float, side: int, frames: int, width: int) -> Pass:
    """Rows from the top of every frame, `share` of them, kept by both branches."""
    region = torch.zeros(1, frames, side, side)
    region[:, :, : round(side * share)] = 1
    make = torch.Generator().manual_seed(0)
    tokens = {s: torch.randn(1, frames, NUMBERS, width, generator=make) for s in SIGNALS}
    gates = {s: torch.ones(1, frames) for s in SIGNALS}
    identity = torch.randn(1, NUMBERS, width, generator=make)
    pass_ = Pass(Conditions(tokens, dict.fromkeys(SIGNALS, region), gates, identity))
    pass_.selections((side, side))  # made once, not timed
    return pass_


def multiplications(layer: ParallelControl, pass_: Pass, size: tuple[int, int]) -> tuple[float, float]:
    """Multiply-adds of the projections' matrix products, and of the scans, in 1e9."""
    c = layer.pre.normalized_shape[0]
    dense = pass_.frames * size[0] * size[1] * 4 * c * c  # the MLP
    scans = 0.0
    for name, selection in pass_.selections(size).items():
        branch = layer.branches[name]
        block = branch.scan
        tokens, config = pass_.conditions.tokens[name], branch.config
        n, m = tokens.shape[2], pass_.conditions.identity.shape[1]
        steps = selection.scan_order(n, m, config.condition_layout, config.scan_scope)
        rows = len(selection.index) + tokens[..., 0].numel() + m * len(steps.lengths)
        each = block.inner * (block.rank + 2 * block.state_size) + block.rank * block.inner
        dense += 2 * len(selection.index) * c * block.inner + 2 * rows * each
        scans += 2 * steps.order.numel() * block.inner * block.state_size
    return dense / 1e9, scans / 1e9


SHARES = {f"keep {round(100 * share)} %": share for share in (1.0, 0.5, 0.25, 0.1)}
SVD = ((320, 72), (640, 36), (1280, 18), (1280, 9))  # channels and side of the token grid of each level


def layer_of(
    c: int, side: int, frames: int
) -> tuple[ParallelControl, Callable[[float, str], Callable[[], object]]]:
    """A layer, and what calls it with a share of tokens kept and a backend of the scan."""
    torch.manual_seed(0)
    layer = ParallelControl(c, 768, SIGNALS, BranchConfig()).requires_grad_(False)
    z = torch.randn(1, frames, side, side, c)

    def call(share: float, backend: str) -> Callable[[], object]:
        pass_ = pass_of(share, side, frames, 768)

        def run() -> None:
            for branch in layer.branches.values():
                branch.scan.backend = backend
            layer(z, pass_)

        return run

    return layer, call


def mask_drop(c: int, side: int, frames: int, seconds: float) -> Times:
    """Rows of what the shares cost against the whole frame."""
    _, call = layer_of(c, side, frames)
    found = medians({name: call(share, "auto") for name, share in SHARES.items()}, seconds)
    for name in list(SHARES)[1:]:
        target = 2.86 if name == "keep 25 %" else None
        against("mask-drop", size_of(c, side, frames), name, "keep 100 %", found, target)
    return found


def size_of(c: int, side: int, frames: int) -> str:
    return f"c {c}, {side}x{side} tokens, {frames} frames"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mamba-ssm", type=Path, required=True, help="unpacked source archive")
    for name, value in (("channels", 320), ("side", 64), ("frames", 2), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--svd", action="store_true", help="the levels of Stable Video Diffusion, too")
    parser.add_argument("--seconds", type=float, default=3.0, help="of timing a call")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine())
    reference = others.package_reference(options.mamba_ssm)

    def by_reference(call: ScanCall) -> tuple[Tensor, None]:
        """Direction by direction: the reference would make B and C of both as large as u."""
        half, out = call.u.shape[2] // 2, []
        for k in range(2):
            own = slice(k * half, (k + 1) * half)
            given = (call.u[..., own], call.delta[..., own], call.A[own], call.B[:, :, k], call.C[:, :, k])
            out.append(reference(*given, call.D[own], call.delta_bias[own]))
        return torch.cat(out, 2), None

    scan.BACKENDS[REFERENCE] = Backend(by_reference, lambda u: None)
    c, side, frames = options.channels, options.side, options.frames
    table(RATIOS)
    ours = mask_drop(c, side, frames, options.seconds)
    layer, call = layer_of(c, side, frames)
    for name, target in (("keep 100 %", 25), ("keep 25 %", 15)):
        calls = {"ours": call(SHARES[name], "auto"), "selective_scan_ref": call(SHARES[name], REFERENCE)}
        found = medians(calls, options.seconds)
        size = size_of(c, side, frames)
        against(f"whole layer, {name}", size, "ours", "selective_scan_ref", found, target)
    if options.svd:
        for channels, wide in SVD:
            mask_drop(channels, wide, 14, options.seconds)
    tokens = frames * side * side
    dense, scans = multiplications(layer, pass_of(1.0, side, frames, 768), (side, side))
    a = torch.randn(tokens, c)
    weight = torch.randn(2 * c, c)
    product = medians({"product": lambda: a @ weight.t()}, 1.0)["product"][0]
    rate = a.shape[0] * 2 * c * c / 1e6 / product
    took = ours["keep 100 %"][0]
    print(
        f"\nmatrix products: {dense:.2f}e9 multiply-adds; at the rate of one of them alone"
        f" {100 * 1000 * dense / rate / took:.0f} % of the layer's time; scans: {scans:.2f}e9"
    )


if __name__ == "__main__":
    main()
