"""One parallel-control layer: the time that mask-drop saves, and the scan's share in it.

    python benchmarks/pcm.py --mamba-ssm FOLDER [--channels 320] [--side 64] [--frames 2] [--svd]

FOLDER is mamba-ssm's unpacked source archive; its `selective_scan_ref` replaces our scan in the compared
layer. Both branches are open, and keep the same share of every frame's tokens.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import others
import torch
from measuring import RATIOS, Call, Comparison, Times, machine, medians, table
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
    """A pass whose branches both keep the upper `share` of every frame (side, side) of tokens."""
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
    """Multiply-adds of the layer's matrix products, and of its scans, in 1e9."""
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


def layer_of(c: int, side: int, frames: int) -> tuple[ParallelControl, Callable[[float, str], Call]]:
    """A layer of c channels, and a function from a share of tokens and a backend to the call of the layer."""
    torch.manual_seed(0)
    layer = ParallelControl(c, 768, SIGNALS, BranchConfig()).requires_grad_(False)
    z = torch.randn(1, frames, side, side, c)

    def call(share: float, backend: str) -> Call:
        pass_ = pass_of(share, side, frames, 768)

        def run() -> None:
            for branch in layer.branches.values():
                branch.scan.backend = backend
            layer(z, pass_)

        return run

    return layer, call


def mask_drop(c: int, side: int, frames: int, seconds: float) -> Times:
    """Prints rows of the shares' times against the whole frame's, and returns the times."""
    _, call = layer_of(c, side, frames)
    times = medians({name: call(share, "auto") for name, share in SHARES.items()}, seconds)
    for name in list(SHARES)[1:]:
        target = 2.86 if name == "keep 25 %" else None
        Comparison(size_of(c, side, frames), times).row("mask-drop", name, "keep 100 %", target)
    return times


def size_of(c: int, side: int, frames: int) -> str:
    """The size of a layer's input in words, for a row."""
    return f"c {c}, {side}x{side} tokens, {frames} frames"


def reference_scan(folder: Path) -> Backend:
    """A backend that runs mamba-ssm's `selective_scan_ref`, direction by direction.

    Over both directions at once the reference would make B and C as large as u.
    """
    reference = others.package_reference(folder)

    def run(call: ScanCall) -> tuple[Tensor, None]:
        half, out = call.u.shape[2] // 2, []
        for k in range(2):
            channels = slice(k * half, (k + 1) * half)
            sequences = (call.u[..., channels], call.delta[..., channels])
            state = (call.A[channels], call.B[:, :, k], call.C[:, :, k])
            out.append(reference(*sequences, *state, call.D[channels], call.delta_bias[channels]))
        return torch.cat(out, 2), None

    return Backend(run, lambda u: None)


def main() -> None:
    """Reads the command line, measures, and prints Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mamba-ssm", type=Path, required=True, help="unpacked source archive")
    for name, value in (("channels", 320), ("side", 64), ("frames", 2), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--svd", action="store_true", help="the levels of Stable Video Diffusion, too")
    parser.add_argument("--seconds", type=float, default=3.0, help="of timing a call")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine())
    scan.BACKENDS[REFERENCE] = reference_scan(options.mamba_ssm)
    c, side, frames = options.channels, options.side, options.frames
    table(RATIOS)
    ours = mask_drop(c, side, frames, options.seconds)
    layer, call = layer_of(c, side, frames)
    for name, target in (("keep 100 %", 25), ("keep 25 %", 15)):
        calls = {"ours": call(SHARES[name], "auto"), REFERENCE: call(SHARES[name], REFERENCE)}
        compared = Comparison(size_of(c, side, frames), medians(calls, options.seconds))
        compared.row(f"whole layer, {name}", "ours", REFERENCE, target)
    if options.svd:
        for channels, tokens_side in SVD:
            mask_drop(channels, tokens_side, 14, options.seconds)
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
