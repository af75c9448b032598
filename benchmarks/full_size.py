"""The full-size form at a size that a CPU takes: what its parts cost, beside other ways to do the same.

    python benchmarks/full_size.py --mamba-ssm FOLDER [--width 64] [--side 32] [--frames 4]

FOLDER is mamba-ssm's unpacked source archive, whose `selective_scan_ref` stands in the place of our scan. The
network has the levels of Stable Video Diffusion, WIDTH channels at the first of them instead of 320.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import others
import torch
from measuring import RATIOS, against, machine, medians, peak_megabytes, row, table
from torch import Tensor

from actalker.backbones.base import SCALARS
from actalker.backbones.released import ReleasedUNet
from actalker.codecs.autoencoder import TemporalAutoencoder
from actalker.control.conditions import Conditions
from actalker.diffusion.guidance import guided
from actalker.diffusion.precondition import Precondition, PreconditionConfig
from actalker.ssm.backends import Backend, ScanCall
from actalker.ssm.selective import scan

TOKENS, IDENTITY, WIDTH = 8, 4, 64
SCALES = {"audio": 7.5, "expression": 3.0, "identity": 2.0}


def network_of(width: int) -> ReleasedUNet:
    """The release's network with random weights."""
    torch.manual_seed(0)
    widths = (width, 2 * width, 4 * width, 4 * width)
    return (
        ReleasedUNet(
            block_out_channels=widths,
            num_attention_heads=tuple(max(1, w // 64) for w in widths),
            cross_attention_dim=WIDTH,
            projection_class_embeddings_input_dim=768,
            guider_blocks=(16, 32, 48, 64),
        )
        .eval()
        .requires_grad_(False)
    )


def told(side: int, frames: int) -> Conditions:
    """Both signals open, the mouth's region a quarter of the picture and the rest of the face another."""
    make = torch.Generator().manual_seed(0)
    size = 8 * side
    mouth, upper = torch.zeros(2, 1, frames, size, size)
    mouth[..., size // 2 :, size // 4 : 3 * size // 4] = 1
    upper[..., : size // 2, size // 4 : 3 * size // 4] = 1
    signals = ("audio", "expression")
    tokens = {s: torch.randn(1, frames, TOKENS, WIDTH, generator=make) for s in signals}
    return Conditions(
        tokens=tokens,
        regions={"audio": mouth, "expression": upper},
        gates={s: torch.ones(1, frames) for s in signals},
        identity=torch.randn(1, IDENTITY, WIDTH, generator=make),
        references={"portrait": torch.randn(1, 4, side, side, generator=make)},
        maps={"face": mouth + upper, "mouth": mouth},
        scalars=dict.fromkeys(SCALARS, torch.zeros(1)),
        null={"identity": torch.zeros(IDENTITY, WIDTH), **{s: torch.zeros(TOKENS, WIDTH) for s in signals}},
    )


def reference_scan(folder: Path) -> Backend:
    """mamba-ssm's, sequence by sequence."""
    reference = others.package_reference(folder)

    def run(call: ScanCall) -> tuple[Tensor, None]:
        sizes = [call.u.shape[1]] if call.lengths is None else [int(n) for n in call.lengths if n]
        out = []
        for u, delta, b, c in zip(
            *(t.split(sizes, 1) for t in (call.u, call.delta, call.B, call.C)), strict=True
        ):
            given = [t.flip(1) if call.reverse else t for t in (u, delta, b[:, :, 0], c[:, :, 0])]
            y = reference(given[0], given[1], call.A, given[2], given[3], call.D, call.delta_bias)
            out.append(y.flip(1) if call.reverse else y)
        return torch.cat(out, 1), None

    return Backend(run, lambda u: None)


@contextmanager
def scanning_by(backend: Backend) -> Iterator[None]:
    """Inside, `auto` takes this backend."""
    own = scan.BACKENDS
    scan.BACKENDS = {"given": backend, **own}
    try:
        yield
    finally:
        scan.BACKENDS = own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mamba-ssm", type=Path, required=True, help="unpacked source archive")
    for name, value in (("width", 64), ("side", 32), ("frames", 4), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--seconds", type=float, default=3.0, help="of timing a call")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine())
    network, conditions = network_of(options.width), told(options.side, options.frames)
    size = f"{options.width} channels, {options.side}x{options.side} latents, {options.frames} frames"
    make = torch.Generator().manual_seed(1)
    x = torch.randn(1, options.frames, 4, options.side, options.side, generator=make)
    sigma = torch.tensor([2.0])
    denoise = Precondition(network, PreconditionConfig(sigma_data=1.0, prediction="v"))
    theirs = reference_scan(options.mamba_ssm)

    def one_pass() -> Tensor:
        with torch.no_grad():
            return denoise(x, sigma, conditions)

    def by_reference() -> Tensor:
        with scanning_by(theirs):
            return one_pass()

    def sequential(together: bool) -> Callable[[], object]:
        call = guided(denoise, SCALES, together)

        def run() -> None:
            with torch.no_grad():
                call(x, sigma, conditions)

        return run

    kept = replace(
        conditions, regions={s: torch.ones_like(r) for s, r in conditions.regions.items()}
    )  # as the released script masks

    def everywhere() -> None:
        with torch.no_grad():
            denoise(x, sigma, kept)

    codec = TemporalAutoencoder(
        down_block_types=("DownEncoderBlock2D",) * 4,
        block_out_channels=(32, 64, 128, 128),
        layers_per_block=1,
    )
    codec = codec.eval().requires_grad_(False)
    latents = torch.randn(1, 4 * options.frames, 4, options.side, options.side, generator=make)

    def decoded(chunk: int) -> Callable[[], object]:
        def run() -> None:
            with torch.no_grad():
                for piece in latents.split(chunk, 1):  # each is written before the next is made
                    codec.decode(piece, chunk)

        return run

    with torch.no_grad():  # kernels are loaded before memory is looked at
        denoise(torch.zeros(1, 1, 4, 8, 8), sigma, told(8, 1))
    whole, some = latents.shape[1], 4
    table(("peak memory beyond what was there", "MB", "against", "MB", "share"))
    for what, a, b in (
        ("a pass: ours / selective_scan_ref", one_pass, by_reference),
        ("guidance: pass by pass / one batch", sequential(False), sequential(True)),
        (f"decoding: {some} at once / {whole}", decoded(some), decoded(whole)),
    ):
        names = what.partition(": ")[2].split(" / ")
        taken = [peak_megabytes(lambda call=call: call) for call in (a, b)]  # type: ignore[misc]
        row(what.partition(":")[0] + ", " + names[0], taken[0], names[1], taken[1], taken[0] / taken[1])

    apart = (one_pass() - by_reference()).abs().max() / one_pass().abs().max()
    print(f"largest difference between the two scans' outputs: {float(apart):.1e} of the largest value")
    table(RATIOS)
    found = medians({"ours": one_pass, "selective_scan_ref": by_reference}, options.seconds)
    against("released form, a pass", size, "ours", "selective_scan_ref", found)
    found = medians({"regions": one_pass, "ones": everywhere}, options.seconds)
    against("masks by the paper's rule", size, "regions", "ones", found)
    found = medians({"one batch": sequential(True), "pass by pass": sequential(False)}, options.seconds)
    against("guidance, four passes", size, "one batch", "pass by pass", found)

    found = medians({f"{some} at once": decoded(some), "whole": decoded(whole)}, options.seconds)
    against(f"decoding {whole} frames", size, f"{some} at once", "whole", found)


if __name__ == "__main__":
    main()
