"""The full-size network with fewer channels, on a CPU: its parts' costs beside other ways to do the same.

    python benchmarks/full_size.py --mamba-ssm FOLDER [--width 64] [--side 32] [--frames 4]

FOLDER is mamba-ssm's unpacked source archive; its `selective_scan_ref` replaces our scan in the compared
network. The network has the levels of Stable Video Diffusion, with WIDTH channels at the first of them
instead of 320.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import others
import torch
from measuring import RATIOS, Call, Comparison, machine, medians, peak_megabytes, row, table
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
    """The released network with random weights and `width` channels at its first level."""
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


def conditions_of(side: int, frames: int) -> Conditions:
    """Conditions of latents (side, side): both signals open, each on a quarter of the picture."""
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
    """A backend that runs mamba-ssm's `selective_scan_ref`, sequence by sequence."""
    reference = others.package_reference(folder)

    def run(call: ScanCall) -> tuple[Tensor, None]:
        sizes = [call.u.shape[1]] if call.lengths is None else [int(n) for n in call.lengths if n]
        out = []
        for u, delta, b, c in zip(
            *(t.split(sizes, 1) for t in (call.u, call.delta, call.B, call.C)), strict=True
        ):
            packed = [t.flip(1) if call.reverse else t for t in (u, delta, b[:, :, 0], c[:, :, 0])]
            y = reference(*packed[:2], call.A, *packed[2:], call.D, call.delta_bias)
            out.append(y.flip(1) if call.reverse else y)
        return torch.cat(out, 1), None

    return Backend(run, lambda u: None)


@contextmanager
def scanning_by(backend: Backend) -> Iterator[None]:
    """A context in which scans by the backend `auto` run this one."""
    before = scan.BACKENDS
    scan.BACKENDS = {"reference": backend, **before}
    try:
        yield
    finally:
        scan.BACKENDS = before


@dataclass(frozen=True)
class Passes:
    """Calls of one network with the same latents x (1, frames, 4, side, side) and conditions."""

    network: ReleasedUNet
    x: Tensor
    conditions: Conditions
    reference: Backend

    def denoise(self, conditions: Conditions) -> Tensor:
        """One pass of the network."""
        denoiser = Precondition(self.network, PreconditionConfig(sigma_data=1.0, prediction="v"))
        with torch.no_grad():
            return denoiser(self.x, torch.tensor([2.0]), conditions)

    def ours(self) -> Tensor:
        """A pass with our scan."""
        return self.denoise(self.conditions)

    def by_reference(self) -> Tensor:
        """A pass with mamba-ssm's reference scan."""
        with scanning_by(self.reference):
            return self.ours()

    def guided(self, together: bool) -> Call:
        """The call of four passes with guidance, in one batch or one after the other."""
        denoiser = Precondition(self.network, PreconditionConfig(sigma_data=1.0, prediction="v"))
        denoise = guided(denoiser, SCALES, together)

        def run() -> None:
            with torch.no_grad():
                denoise(self.x, torch.tensor([2.0]), self.conditions)

        return run

    def everywhere(self) -> Tensor:
        """A pass with regions of ones, as the released script masks."""
        ones = {s: torch.ones_like(r) for s, r in self.conditions.regions.items()}
        return self.denoise(replace(self.conditions, regions=ones))


def decoding(latents: Tensor) -> Callable[[int], Call]:
    """A function that makes the call of decoding latents (1, f, 4, side, side), so many frames at once."""
    codec = TemporalAutoencoder(
        down_block_types=("DownEncoderBlock2D",) * 4,
        block_out_channels=(32, 64, 128, 128),
        layers_per_block=1,
    )
    codec = codec.eval().requires_grad_(False)

    def decoded(chunk: int) -> Call:
        def run() -> None:
            with torch.no_grad():
                for piece in latents.split(chunk, 1):  # each is written before the next is made
                    codec.decode(piece, chunk)

        return run

    return decoded


def main() -> None:
    """Reads the command line, measures, and prints Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mamba-ssm", type=Path, required=True, help="unpacked source archive")
    for name, value in (("width", 64), ("side", 32), ("frames", 4), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--seconds", type=float, default=3.0, help="of timing a call")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine())
    side, frames = options.side, options.frames
    size = f"{options.width} channels, {side}x{side} latents, {frames} frames"
    network, conditions = network_of(options.width), conditions_of(side, frames)
    make = torch.Generator().manual_seed(1)
    x = torch.randn(1, frames, 4, side, side, generator=make)
    passes = Passes(network, x, conditions, reference_scan(options.mamba_ssm))
    latents = torch.randn(1, 4 * frames, 4, side, side, generator=make)
    # kernels are loaded before memory is measured
    Passes(network, torch.zeros(1, 1, 4, 8, 8), conditions_of(8, 1), passes.reference).ours()
    memory(passes, latents)
    largest = (passes.ours() - passes.by_reference()).abs().max() / passes.ours().abs().max()
    print(f"largest difference between the two scans' outputs: {float(largest):.1e} of the largest value")
    speed(passes, latents, size, options.seconds)


SOME = 4  # frames that are decoded at once


def memory(passes: Passes, latents: Tensor) -> None:
    """Rows of the peak memory of a pass, of guidance and of decoding, each against another way."""
    whole, decoded = latents.shape[1], decoding(latents)
    table(("peak memory beyond what was there", "MB", "against", "MB", "share"))
    calls: dict[tuple[str, str], tuple[Call, Call]] = {
        ("a pass, ours", "selective_scan_ref"): (passes.ours, passes.by_reference),
        ("guidance, pass by pass", "one batch"): (passes.guided(False), passes.guided(True)),
        (f"decoding, {SOME} at once", str(whole)): (decoded(SOME), decoded(whole)),
    }
    for (what, other), (one, another) in calls.items():
        a, b = peak_megabytes(lambda one=one: one), peak_megabytes(lambda another=another: another)
        row(what, a, other, b, a / b)


def speed(passes: Passes, latents: Tensor, size: str, seconds: float) -> None:
    """Rows of the times of a pass, of masks, of guidance and of decoding, each against another way."""

    def compare(what: str, size: str, ours: tuple[str, Call], other: tuple[str, Call]) -> None:
        times = medians(dict((ours, other)), seconds)
        Comparison(size, times).row(what, ours[0], other[0])

    whole, decoded = latents.shape[1], decoding(latents)
    table(RATIOS)
    reference = ("selective_scan_ref", passes.by_reference)
    compare("released form, a pass", size, ("ours", passes.ours), reference)
    ones = ("ones", passes.everywhere)
    compare("masks by the paper's rule", size, ("regions", passes.ours), ones)
    apart = ("pass by pass", passes.guided(False))
    compare("guidance, four passes", size, ("one batch", passes.guided(True)), apart)
    some = (f"{SOME} at once", decoded(SOME))
    compare(f"decoding {whole} frames", size, some, ("whole", decoded(whole)))


if __name__ == "__main__":
    main()
