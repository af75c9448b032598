"""Weights, gradients and optimiser split over processes (FSDP2), and the way back to whole tensors.

Source: Zhao et al. 2023, PyTorch FSDP; here by way of torch's `fully_shard`.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(module: nn.Module, blocks: Iterable[nn.Module], mesh: DeviceMesh, entries: Iterable[str]) -> None:
    """Split a module's weights over the processes of a mesh.

    Args:
        blocks: parts of it that are whole only while they run, each through its own `forward`.
        mesh: one dimension, the processes.
        entries: methods of the module in which the weights outside the blocks are whole.
    """
    for block in blocks:
        fully_shard(block, mesh=mesh)
    # resharded after every entry: outside of them all weights are shards, also after a validation
    fully_shard(module, mesh=mesh, reshard_after_forward=True)
    for entry in entries:
        register_fsdp_forward_method(module, entry)


def own_part(weight: Tensor) -> Tensor:
    """The part of a weight that this process has: a view; all of it where nothing is split."""
    detached = weight.detach()
    return detached.to_local() if isinstance(detached, DTensor) else detached


def whole(part: Tensor, like: Tensor) -> Tensor:
    """The whole tensor of which this process has a part, on the CPU; all processes call it.

    like: the weight that is split in the same way.
    """
    if not isinstance(like, DTensor):
        return part.cpu()
    split = DTensor.from_local(
        part, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )
    return split.full_tensor().cpu()


def place(whole: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor, split as the weight `like` is; all processes call it."""
    whole = whole.to(like.device)
    if not isinstance(like, DTensor):
        return whole.clone()
    return distribute_tensor(whole, like.device_mesh, like.placements).to_local().clone()
