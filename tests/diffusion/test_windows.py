"""What stands where two windows meet."""

import torch

from actalker.control.conditions import Conditions
from actalker.diffusion.sampling import scheduler
from actalker.diffusion.windows import FrameNoise, sample_windows


def test_the_first_half_of_an_overlap_is_held_and_the_second_blended():
    """A denoiser that gives its window's first frame: 0 in frames 0 to 7, 4 in frames 4 to 11. One step ends
    at its estimate; of the four frames in both the second window makes a share of k / 5.
    """
    place = torch.arange(12.0).view(1, 12, 1, 1, 1)
    told = Conditions({}, {}, {}, reference=torch.zeros(1, 2, 3, 3), location=place)

    def first_place(x, sigma, one):
        return one.location[:, :1].expand_as(x).clone()

    pieces = sample_windows(
        first_place,
        told.frames,
        12,
        FrameNoise((2, 3, 3), 0),
        lambda: scheduler("euler", 0.1, 5.0, 0.5),
        1,
        8,
        4,
    )
    got = torch.cat(list(pieces), dim=1)
    expected = torch.tensor([0.0] * 6 + [3 / 5 * 4, 4 / 5 * 4] + [4.0] * 4)
    torch.testing.assert_close(got, expected.view(1, 12, 1, 1, 1).expand_as(got))
