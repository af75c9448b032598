"""The drawing's kernels against float64 references, and numba's form against numpy's."""

import numpy as np
import pytest

from actalker.heads import kernels, plain, plain_paint

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


def forms(monkeypatch, call):
    """What a call gives with numba's kernels, and with numpy's in their place."""
    first = call()
    monkeypatch.setattr(kernels, "compiled", plain)
    monkeypatch.setattr(kernels, "compiled_paint", plain_paint)
    return first, call()


def test_numpys_form_of_every_kernel_gives_what_numbas_gives(blob, monkeypatch):
    pytest.importorskip("numba")
    places, depths, triangles = blob
    random = np.random.default_rng(5)
    image = random.random((20, 30, 3)).astype(np.float32)
    values = random.normal(size=(24, 4)).astype(np.float32)
    space = np.concatenate([places, depths[:, None]], 1)
    front = np.where(kernels.areas(places, triangles)[:, None] < 0, triangles, triangles[:, ::-1])
    front = np.ascontiguousarray(front, np.int32)
    before = kernels.areas(places, front) / random.uniform(1.3, 2.3, 8).astype(np.float32)  # grown since
    count, most = np.ones(24, np.float32), np.full(8, 1.2, np.float32)
    kind = np.repeat(np.repeat(random.integers(0, 5, (6, 8)), 5, 0), 5, 1).astype(np.uint8)
    kind[kind == 4] = 255

    def call():
        raster = kernels.rasterise(places, depths, triangles, BOX, np.arange(8) % 2 == 0)
        return {
            "triangle": raster.triangle,
            "near": raster.near,
            "interpolate": kernels.interpolate(raster, triangles, depths, values),
            "bilinear": kernels.bilinear(image, random_places),
            "normals": kernels.normals(space, triangles),
            "areas": kernels.areas(places, triangles),
            "unstretched": kernels.unstretched(places, front, before, most, count),
            "shade": kernels.shade(kind, np.array([4.0, 3.0])),
        }

    random_places = random.uniform(-3, 33, (50, 2)).astype(np.float32)
    first, second = forms(monkeypatch, call)
    same = first["triangle"] == second["triangle"]
    assert same.mean() > 0.99  # centres on an edge
    for name, values in first.items():
        if name == "triangle":
            continue
        inside = same if name in ("near", "interpolate") else np.s_[:]
        np.testing.assert_allclose(values[inside], second[name][inside], atol=2e-3, err_msg=name)


def test_a_read_between_pixels_is_the_bicubic_of_keys():
    """Against the closed form in float64; at whole pixels it is the pixel itself."""
    random = np.random.default_rng(9)
    image = random.random((12, 14, 3)).astype(np.float32)
    places = random.uniform(3, 9, (40, 2)).astype(np.float32)

    def keys(d):
        d = abs(d)
        a = -1.0
        if d < 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0

    def read(x, y):
        return sum(
            keys(x - 0.5 - j) * keys(y - 0.5 - i) * image[i, j].astype(float)
            for i in range(12)
            for j in range(14)
        )

    wanted = np.clip([read(*place.astype(float)) for place in places], 0, 1)
    np.testing.assert_allclose(plain_paint.photograph_at(image, *places.T), wanted, atol=1e-5)
    compiled = pytest.importorskip("actalker.heads.compiled_paint")
    got = np.array([compiled.photograph_at(image, x, y) for x, y in places])
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    np.testing.assert_allclose(
        compiled.photograph_at(image, np.float32(5.5), np.float32(4.5)), image[4, 5], atol=1e-6
    )


@pytest.mark.parametrize("form", ["compiled_paint", "plain_paint"])
def test_what_is_drawn_of_the_mouths_inside_is_blended_and_what_is_the_photographs_own_is_not(form):
    form = pytest.importorskip(f"actalker.heads.{form}")
    colour = np.zeros((8, 8, 3), np.float32)
    colour[::2, ::2] = colour[1::2, 1::2] = 1.0  # teeth of one pixel
    kind, alpha = np.full((8, 8), 1, np.uint8), np.ones((8, 8), np.float32)
    source = np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).astype(np.float32) + 3
    weight = np.zeros((8, 8), np.float32)
    weight[:, 4:] = 1.0
    out, cover = colour.copy(), alpha.copy()
    near = np.full((8, 8), 0.02, np.float32)
    form.soften(kind, near, source, 0, 0, colour, alpha, out, cover, weight)
    np.testing.assert_allclose(out[1:7, 1:4], 0.5, atol=1e-6)
    np.testing.assert_array_equal(out[:, 4:], colour[:, 4:])
    np.testing.assert_array_equal(cover, alpha)


@pytest.mark.parametrize("form", ["compiled_paint", "plain_paint"])
def test_a_nose_before_a_cheek_has_no_stairs_once_it_moves(form):
    form = pytest.importorskip(f"actalker.heads.{form}")
    i, j = np.mgrid[:12, :12]
    nose = j < i  # a slanted edge
    colour = np.repeat(nose[..., None].astype(np.float32), 3, 2)
    kind, alpha = np.zeros((12, 12), np.uint8), np.ones((12, 12), np.float32)
    here = np.stack([j, i], -1).astype(np.float32) + 0.5
    for apart, moved, share in ((2.0, 5.0, 0.25), (0.2, 5.0, 0.0), (2.0, 0.0, 0.0)):
        near = np.where(nose, 1 / 50, 1 / (50 + apart)).astype(np.float32)
        out, cover, weight = colour.copy(), alpha.copy(), np.ones((12, 12), np.float32)
        form.soften(kind, near, here + moved, 0, 0, colour, alpha, out, cover, weight)
        edge = (i == j) & (i > 0) & (i < 11)
        np.testing.assert_allclose(out[edge], share, atol=0.07)
        np.testing.assert_array_equal(out[abs(i - j) > 2], colour[abs(i - j) > 2])
