"""The drawing's kernels against float64 references, and numba's form against numpy's."""

import numpy as np
import pytest

from actalker.heads import kernels

BOX = (3, 2, 43, 34)


@pytest.fixture
def blob():
    """Eight triangles that cross each other in depth, over a box of 40 x 32 pixels."""
    rng = np.random.default_rng(7)
    places = rng.uniform(0, 46, (24, 2)).astype(np.float32)
    depths = rng.uniform(50, 90, 24).astype(np.float32)
    return places, depths, np.arange(24, dtype=np.int32).reshape(8, 3)


def reference(places, depths, triangles, box):
    """Nearest triangle, its corners' weights in space, its depth: rays against planes, in float64."""
    x, y = np.meshgrid(np.arange(box[0], box[2]) + 0.5, np.arange(box[1], box[3]) + 0.5)
    nearest, found = np.full(x.shape, np.inf), np.full(x.shape, -1)
    weights = np.zeros((*x.shape, 3))
    for t, corners in enumerate(triangles):
        space = np.concatenate([places[corners], np.ones((3, 1))], 1).astype(float) * depths[corners, None]
        pixels = np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
        solved = np.linalg.solve(space.T, pixels).T.reshape(*x.shape, 3)
        depth = 1 / solved.sum(2)
        hit = (solved > 0).all(2) & (depth < nearest)
        nearest[hit], found[hit], weights[hit] = depth[hit], t, (solved * depth[..., None])[hit]
    return found, weights, nearest


def test_raster_is_what_rays_hit(blob):
    places, depths, triangles = blob
    raster = kernels.rasterise(places, depths, triangles, BOX, cull=False)
    found, weights, depth = reference(places, depths, triangles, BOX)
    assert (raster.triangle == found).mean() > 0.99  # centres on an edge may belong to either side
    same = (raster.triangle == found) & (found >= 0)
    assert same.sum() > 300
    np.testing.assert_allclose(raster.depth[same], depth[same], rtol=1e-4)
    values = np.random.default_rng(1).normal(size=(24, 5)).astype(np.float32)
    wanted = (weights[..., None] * values[triangles[np.maximum(found, 0)]]).sum(2)
    got = kernels.interpolate(raster, triangles, depths, values)
    np.testing.assert_allclose(got[same], wanted[same], atol=2e-3)


def test_a_back_is_culled(blob):
    places, depths, triangles = blob
    both = kernels.rasterise(places, depths, triangles[:1], BOX, cull=False).triangle >= 0
    ways = (triangles[:1], triangles[:1, ::-1])
    one, other = (kernels.rasterise(places, depths, way, BOX).triangle >= 0 for way in ways)
    assert both.any()
    assert (one.any(), other.any()) in ((True, False), (False, True))
    assert ((one | other) == both).all()


def test_homogeneous_places_of_an_unmoved_mesh_are_the_pixels_themselves(blob):
    places, depths, triangles = blob
    raster = kernels.rasterise(places, depths, triangles, BOX, cull=False)
    values = np.concatenate([places, np.ones((24, 1), np.float32)], 1) * depths[:, None]
    got = kernels.interpolate(raster, triangles, depths, values)
    i, j = np.nonzero(raster.triangle >= 0)
    here = np.stack([j + BOX[0] + 0.5, i + BOX[1] + 0.5], 1)
    assert np.abs(got[i, j, :2] / got[i, j, 2:] - here).max() < 0.01
