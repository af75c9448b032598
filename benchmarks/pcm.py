"""One parallel-control layer: what mask-drop saves, and what the scan makes of it.

    python benchmarks/pcm.py --mamba-ssm FOLDER [--channels 320] [--side 64] [--frames 2] [--threads 2]

FOLDER is mamba-ssm's unpacked source archive, whose `selective_scan_ref` stands in the place of our scan in
the layer that is compared with. Both branches are open, and keep the same share of every frame's tokens.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import others
import torch
from measuring import against, machine, medians, table
from torch import Tensor

from actalker.control.config import BranchConfig
from actalker.control.drop import keep
from actalker.control.parallel import ParallelControl, Route
from actalker.ssm import scan
from actalker.ssm.call import ScanCall

REFERENCE = "selective_scan_ref"
SIGNALS = ("audio", "expression")
NUMBERS = 32  # tokens a frame of a signal, of identity


def route_of(share: float, side: int, frames: int, width: int) -> Route:
    """Rows from the top of every frame, `share` of them, kept by both branches."""
    region = torch.zeros(1, frames, side, side)
    region[:, :, : round(side * share)] = 1
    make = torch.Generator().manual_seed(0)
    tokens = {s: torch.randn(1, frames, NUMBERS, width, generator=make) for s in SIGNALS}
    gates = {s: torch.ones(1, frames) for s in SIGNALS}
    identity = torch.randn(1, NUMBERS, width, generator=make)
    return Route({s: keep(region) for s in SIGNALS}, gates, tokens, identity)


def multiplications(layer: ParallelControl, route: Route, tokens: int) -> tuple[float, float]:
    """Multiply-adds of the projections' matrix products, and of the scans, in 1e9."""
    c = layer.pre.normalized_shape[0]
    dense = tokens * 4 * c * c  # the MLP
    scans = 0.0
    for name, kept in route.kept.items():
        branch = layer.branches[name]
        block = branch.scan
        n, m = route.tokens[name].shape[2], route.identity.shape[1]
        steps = len(kept.pack(n, m, branch.config.condition_layout, branch.config.scan_scope).ahead)
        each = block.inner * (block.rank + 2 * block.state_size) + block.rank * block.inner
        dense += 2 * len(kept.index) * c * block.inner + 2 * steps * each
        scans += 2 * steps * block.inner * block.state_size * 2
    return dense / 1e9, scans / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mamba-ssm", type=Path, required=True, help="unpacked source archive")
    for name, value in (("channels", 320), ("side", 64), ("frames", 2), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--seconds", type=float, default=3.0, help="of timing a call")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine())
    reference = others.package_reference(options.mamba_ssm)

    def by_reference(call: ScanCall) -> tuple[Tensor, Tensor]:
        """Direction by direction: the reference would make B and C of both as large as u."""
        half, out = call.u.shape[2] // 2, []
        for k in range(2):
            own = slice(k * half, (k + 1) * half)
            given = (call.u[..., own], call.delta[..., own], call.A[own], call.B[:, :, k], call.C[:, :, k])
            out.append(reference(*given, call.D[own], call.delta_bias[own]))
        return torch.cat(out, 2), torch.empty(0)

    scan.BACKENDS[REFERENCE] = scan.Backend(by_reference, lambda u: None)
    c, side, frames = options.channels, options.side, options.frames
    torch.manual_seed(0)
    layer = ParallelControl(c, 768, SIGNALS, BranchConfig()).requires_grad_(False)
    z = torch.randn(1, frames, side, side, c)

    def call(share: float, backend: str) -> object:
        route = route_of(share, side, frames, 768)

        def run() -> None:
            for branch in layer.branches.values():
                branch.scan.backend = backend
            layer(z, route)

        return run

    shares = {f"keep {round(100 * share)} %": share for share in (1.0, 0.5, 0.25, 0.1)}
    ours = medians({name: call(share, "auto") for name, share in shares.items()}, options.seconds)
    size = f"c {c}, {side}x{side} tokens, {frames} frames"
    table(("what", "size", "this", "against", "times faster", "target", "spread"))
    for name in shares:
        against("mask-drop", size, name, "keep 100 %", ours, "≥ 2.86" if name == "keep 25 %" else "")
    for name, target in (("keep 100 %", "≥ 25"), ("keep 25 %", "≥ 15")):
        calls = {"ours": call(shares[name], "auto"), "selective_scan_ref": call(shares[name], REFERENCE)}
        found = medians(calls, options.seconds)
        against(f"whole layer, {name}", size, "ours", "selective_scan_ref", found, target)
    dense, scans = multiplications(layer, route_of(1.0, side, frames, 768), z[..., 0].numel())
    a = torch.randn(z[..., 0].numel(), c)
    weight = torch.randn(2 * c, c)
    product = medians({"product": lambda: a @ weight.t()}, 1.0)["product"][0]
    rate = a.shape[0] * 2 * c * c / 1e6 / product
    took = ours["keep 100 %"][0]
    print(
        f"\nmatrix products: {dense:.2f}e9 multiply-adds; at the {rate:.0f}e9 a second of one of them alone"
        f" {1000 * dense / rate:.0f} of {took:.0f} ms; scans: {scans:.2f}e9"
    )


if __name__ == "__main__":
    main()
