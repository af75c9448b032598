"""What a training will take before it starts: parameters, memory, and the steps of a day on this machine.

The steps that are tried change no weight.
"""

from __future__ import annotations

import time

import psutil
import torch
from torch import nn

from ..control.drop import Selection
from ..data.performances.performance import Performance
from ..data.sample import Sample
from .module import TrainingModule

GIB = 2**30
Batched = Sample | Performance
STEPS = 2  # steps that are timed, after one that warms up


def plan(module: TrainingModule, batch: Batched, devices: int, accumulate: int, split: bool) -> list[str]:
    """The lines of the plan. batch: one of the training. devices: processes. split: they share the weights.

    Activations are measured by real steps on this machine, unless weights, gradients and optimiser alone
    would not fit into its free memory.
    """
    lines = ["parameters (trained / all), in millions:"]
    for name, part in module.model.parts():
        lines.append(f"  {name:10s} {_millions(part, True):10.2f} / {_millions(part, False):.2f}")
    everything, trained = _bytes(module, False), _bytes(module, True)
    memory = {
        "weights": everything,
        "gradients": trained,
        "AdamW": 2 * trained,
        "averaged weights": trained,
    }
    lines.append("memory of each process, GiB:")
    share = devices if split else 1
    lines += [f"  {name:17s} {size / share / GIB:8.2f}" for name, size in memory.items()]
    clips, frames = len(batch.index), batch.length
    lines.append(f"a step: {clips * devices * accumulate} clips of {frames} frames on {devices} process(es)")
    free = psutil.virtual_memory().available if module.device.type == "cpu" else _free(module.device)
    if sum(memory.values()) > 0.9 * free:
        return [
            *lines,
            f"no step was tried: {sum(memory.values()) / GIB:.1f} GiB are needed, {free / GIB:.1f} free",
        ]
    seconds, peak, tokens = _steps(module, batch)
    lines.append(f"  activations       {peak / GIB:8.2f}")
    if tokens is not None:
        lines.append(f"tokens that the branches change in a step: {tokens * devices * accumulate:,}")
    each = seconds * accumulate
    lines.append(f"{each:.2f} s a step on this machine, {86400 / each:,.0f} steps a day")
    return lines


def _steps(module: TrainingModule, batch: Batched) -> tuple[float, int, int | None]:
    """Seconds a step, bytes that a step adds at its peak, tokens that branches change; None: no branches."""
    cuda = module.device.type == "cuda"
    times, peak = [], 0
    tokens = [0]

    def count(branch: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        selection = next(value for value in (*args, *kwargs.values()) if isinstance(value, Selection))
        tokens[0] += selection.index.numel()

    branches = module.model.network.branches()
    hooks = [part.register_forward_pre_hook(count, with_kwargs=True) for part in branches]
    for step in range(1 + STEPS):
        before = _used(module.device)
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        loss = module.step_loss(batch, step)[0]
        peak = max(peak, _used(module.device) - before)
        loss.backward()
        if cuda:
            torch.cuda.synchronize()
            peak = max(peak, torch.cuda.max_memory_allocated() - before)
        times.append(time.perf_counter() - start)
    for hook in hooks:
        hook.remove()
    module.zero_grad(set_to_none=True)
    return sorted(times[1:])[(len(times) - 1) // 2], peak, tokens[0] // (1 + STEPS) if branches else None


def _used(device: torch.device) -> int:
    return torch.cuda.memory_allocated() if device.type == "cuda" else psutil.Process().memory_info().rss


def _free(device: torch.device) -> int:
    return torch.cuda.mem_get_info()[0] if device.type == "cuda" else 0


def _millions(part: nn.Module, trained: bool) -> float:
    return sum(p.numel() for p in part.parameters() if p.requires_grad or not trained) / 1e6


def _bytes(part: nn.Module, trained: bool) -> int:
    return sum(p.numel() * p.element_size() for p in part.parameters() if p.requires_grad or not trained)
