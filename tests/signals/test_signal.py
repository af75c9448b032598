"""Standardised tokens: every number with mean 0 and deviation 1, by running values."""

import torch

from actalker.signals.standardize import Standardize


def test_it_learns_the_mean_and_deviation_of_every_number():
    torch.manual_seed(0)
    layer, mean, width = Standardize(2, 3), torch.randn(2, 3) * 5, torch.rand(2, 3) + 0.1
    for _ in range(300):
        layer(mean + width * torch.randn(8, 4, 2, 3))
        layer.settle()
    torch.testing.assert_close(layer.mean, mean, atol=0.1, rtol=0.1)
    torch.testing.assert_close(layer.variance.sqrt(), width, atol=0.05, rtol=0.1)
    out = layer.eval()(mean + width * torch.randn(2000, 1, 2, 3))
    assert out.mean((0, 1)).abs().max() < 0.2 and (out.std((0, 1)) - 1).abs().max() < 0.15


def test_in_use_a_token_depends_on_itself_alone():
    layer = Standardize(2, 3)
    layer(torch.randn(4, 5, 2, 3))
    layer.settle()
    layer.eval()
    x = torch.randn(4, 5, 2, 3)
    assert torch.equal(layer(x)[1:2], layer(x[1:2])) and int(layer.seen) == 1


def test_a_step_counts_the_same_in_one_part_in_several_and_on_several_processes():
    """Running mean and variance after three steps, against plain formulas over all rows of a step."""
    torch.manual_seed(1)
    steps = [torch.randn(6, 5, 2, 3) * (k + 1) + k for k in range(3)]
    whole, parts, apart = (Standardize(2, 3) for _ in range(3))
    other = Standardize(2, 3)
    mean, variance = torch.zeros(2, 3), torch.ones(2, 3)
    for k, tokens in enumerate(steps):
        whole(tokens)
        whole.settle()
        for piece in tokens.split([1, 2, 3]):
            parts(piece)
        parts.settle()
        apart(tokens[:2])
        other.mean, other.variance = apart.mean.clone(), apart.variance.clone()
        other(tokens[2:])
        apart.settle(lambda seen: seen + other.step)
        other.step = None
        rows, share = tokens.flatten(0, 1), 1 / (k + 1)
        now = rows.mean(0)
        mean = mean + share * (now - mean)
        variance = variance + share * (rows.var(0, unbiased=False) + (now - mean).square() - variance)
    for layer in (whole, parts, apart):
        torch.testing.assert_close(layer.mean, mean, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(layer.variance, variance, atol=1e-4, rtol=1e-4)
