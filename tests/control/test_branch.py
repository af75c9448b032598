"""How a branch begins."""

import pytest
import torch

from actalker.control.branch import MaskedBranch
from actalker.control.config import BranchConfig


@pytest.mark.parametrize("width", [16, 256])
def test_condition_tokens_start_ten_times_louder_than_image_tokens(width):
    """Of unit numbers a new `Linear` makes 1/√3, whatever its width; here three times and 0.3 times that."""
    branch = MaskedBranch(96, width, BranchConfig(expand=2.0)).requires_grad_(False)
    heard = branch.condition(torch.randn(400, width)) - branch.condition.bias
    seen = branch.project(torch.randn(400, 96))
    assert heard.std() == pytest.approx(3 / 3**0.5, rel=0.1)
    assert seen.std() == pytest.approx(0.3 / 3**0.5, rel=0.1)
