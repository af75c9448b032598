"""How a branch begins, and how it is gated."""

import pytest
import torch
from torch import nn

from actalker.control.branch import MaskedBranch
from actalker.control.config import BranchConfig
from actalker.control.drop import select


@pytest.mark.parametrize("width", [16, 256])
def test_condition_tokens_start_ten_times_louder_than_image_tokens(width):
    """Of unit numbers a new `Linear` makes 1/√3, whatever its width; here three times and 0.3 times that."""
    branch = MaskedBranch(96, width, BranchConfig(expand=2.0)).requires_grad_(False)
    heard = branch.condition(torch.randn(400, width)) - branch.condition.bias
    seen = branch.project(torch.randn(400, 96))
    assert heard.std() == pytest.approx(3 / 3**0.5, rel=0.1)
    assert seen.std() == pytest.approx(0.3 / 3**0.5, rel=0.1)


@torch.no_grad()
def test_a_gated_branch_multiplies_its_scan_by_silu_of_each_tokens_projection():
    branch = MaskedBranch(6, 4, BranchConfig(gated=True, state_size=4))
    z, selection = torch.randn(2, 3 * 8, 6), select(torch.rand(2, 3, 2, 4))
    inputs = (z, torch.randn(2, 3, 2, 4), torch.randn(2, 1, 4), selection)
    gated, _ = branch(*inputs)
    projected = branch.gate(z.flatten(0, 1)[selection.index])
    branch.gate, out, branch.out = None, branch.out, nn.Identity()
    scanned, _ = branch(*inputs)
    torch.testing.assert_close(gated, out(scanned * projected * projected.sigmoid()))
