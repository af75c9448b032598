"""The weight of a noise level, against what an error of the network makes of it."""

import pytest
import torch
from models import small_model, some_conditions

from actalker.diffusion.precondition import Precondition, PreconditionConfig


@pytest.mark.parametrize("prediction", ["edm", "v"])
def test_an_error_of_the_network_counts_alike_at_every_noise_level(prediction):
    """λ(σ) c_out² = 1 (Karras et al. 2022, eq. 8): how far two outputs of one network are apart, and how far
    the clean estimates are that come of them.
    """
    model, sigma = small_model(), torch.tensor([0.02, 0.3, 2.0, 90.0])
    x = torch.randn(4, 2, 192, 8, 8) * (1 + sigma.view(-1, 1, 1, 1, 1))
    data = 1.0 if prediction == "v" else 0.3
    clean, output = (
        Precondition(model.network, PreconditionConfig(data, kind)) for kind in (prediction, "sample")
    )

    def apart(denoiser):
        one, other = (denoiser(x, sigma, some_conditions(model, 4, 2, seed)) for seed in (0, 1))
        return (one - other).square().mean((1, 2, 3, 4))

    torch.testing.assert_close(clean.weight(sigma) * apart(clean), apart(output), rtol=1e-3, atol=0)
