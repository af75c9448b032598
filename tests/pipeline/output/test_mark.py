"""What says that a picture is generated: a mark in it."""

import numpy as np
import pytest

from actalker.pipeline.output.mark import Mark


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (480, 853), (1280, 720), (33, 47)])
@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_mark_is_small_seen_on_every_ground_and_in_the_corner(size, shade):
    frame = np.full((*size, 3), shade, np.uint8)
    marked = Mark(size)(frame)
    changed = (marked != frame).any(-1)
    rows, columns = np.nonzero(changed)
    h, w = size
    assert (frame == shade).all()  # a copy is marked
    assert rows.min() > 0.75 * h or h < 64
    assert np.ptp(columns) < 0.62 * w and columns.max() > 0.9 * w
    assert changed.mean() < (0.04 if h >= 128 else 0.12)
    far = np.abs(marked.astype(int) - shade).max()
    assert far > 90
    assert np.array_equal(Mark(size)(frame), marked)
