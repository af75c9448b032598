"""What the plan of a training counts."""

import pytest
import torch
from models import small_model, some_conditions
from torch import nn

from actalker.training.plan import _steps


class Module(nn.Module):
    """A training whose step is one pass of the network."""

    device = torch.device("cpu")

    def __init__(self, form):
        super().__init__()
        self.model = small_model(denoiser_args={"branch": {"form": form, "expand": 0.5, "state_size": 4}})
        self.model.network.requires_grad_(True)
        self.told = some_conditions(self.model, 2, 3, gates={"audio": 1.0, "text": 0.5, "expression": 0.0})

    def step_loss(self, batch, step):
        return self.model.network(torch.randn(2, 3, 192, 8, 8), torch.zeros(2), self.told).output.mean(), {}


@pytest.mark.parametrize("form", ["selective", "attention"])
def test_the_tokens_of_every_kind_of_branch_are_counted(form):
    """In each of the layers, which lie on a grid of 4 x 4, the tokens at least half in an open region."""
    module = Module(form)
    told = module.told
    inside = [nn.functional.avg_pool2d(told.regions[s], 16) >= 0.5 for s in ("audio", "text")]
    tokens = sum(int(mask.sum()) for mask in inside)
    assert tokens and _steps(module, None)[2] == tokens * len(module.model.network.control)
