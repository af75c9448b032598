"""Standardised tokens: every number with mean 0 and deviation 1, by running values."""

import torch

from actalker.signals.signal import Standardize


def test_it_learns_the_mean_and_deviation_of_every_number():
    torch.manual_seed(0)
    layer, mean, width = Standardize(2, 3), torch.randn(2, 3) * 5, torch.rand(2, 3) + 0.1
    for _ in range(300):
        layer(mean + width * torch.randn(8, 4, 2, 3))
    torch.testing.assert_close(layer.mean, mean, atol=0.1, rtol=0.1)
    torch.testing.assert_close(layer.variance.sqrt(), width, atol=0.05, rtol=0.1)
    out = layer.eval()(mean + width * torch.randn(2000, 1, 2, 3))
    assert out.mean((0, 1)).abs().max() < 0.2 and (out.std((0, 1)) - 1).abs().max() < 0.15


def test_in_use_a_token_depends_on_itself_alone():
    layer = Standardize(2, 3)
    layer(torch.randn(4, 5, 2, 3))
    layer.eval()
    x = torch.randn(4, 5, 2, 3)
    assert torch.equal(layer(x)[1:2], layer(x[1:2])) and int(layer.seen) == 1
