"""What surrounds the face: the sheet, the ground and their composition, on a head of known pose before
straight lines.
"""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from actalker.heads import compiled_scene, kernels, plain_scene
from actalker.heads.border import inner
from actalker.heads.camera import PIVOT, Camera, pivot_of, rotation, shift_of, to_camera
from actalker.heads.ground import ground
from actalker.heads.layer import NOTHING, FaceLayer
from actalker.heads.model import head_model
from actalker.heads.scene import Scene
from actalker.heads.sheet import CENTRE, Pose
from actalker.heads.turning import limited

FRONT = head_model().neutral[:6706]  # the face's skin


class Stage:
    """A head in a photograph of any size, its outline an ellipse over shoulders, the face not drawn."""

    def __init__(
        self, h: int = 192, w: int = 160, tall: float = 70.0, middle=(0.5, 0.42), turned=(0.0, 0.0, 0.0)
    ):
        self.turned = np.array(turned)
        self.camera = Camera(2.2 * 2.2 * tall, w * middle[0], h * middle[1])
        R = rotation(*turned)
        self.pose = Pose(R, np.array([0, 0, self.camera.focal * 20.0 / tall]), turned[2])
        there = to_camera(FRONT, R, self.pose.T)
        self.places, self.depths = self.camera.project(there), there[:, 2]
        y, x = np.mgrid[:h, :w] + 0.5
        cx, cy = self.camera.project(to_camera(CENTRE, R, self.pose.T))
        k = tall / 20.0
        head = np.hypot((x - cx) / (10 * k), (y - cy) / (13 * k)) < 1
        trunk = (y > cy + 12 * k) & (np.abs(x - cx) < np.clip(5 + (y - cy) / k - 12, 0, 18) * k)
        self.person = gaussian_filter((head | trunk).astype(np.float32), 1.0)
        random = np.random.default_rng(3)
        image = 128 + 40 * np.sin(y / 4.0)[..., None] * (1, 0.8, 0.6) * np.ones(
            (h, w, 1)
        )  # level lines behind the head
        hair = gaussian_filter(random.normal(size=(h, w, 3)), (1.5, 1.5, 0)) * 120 + (150, 90, 60)
        image = image + self.person[..., None] * (hair - image)
        self.image = np.clip(image, 0, 255).astype(np.uint8)
        self.scene = Scene(self.image, self.person, self.camera, self.pose, FRONT, self.places, self.depths)

    def layer(self, pose: Pose, alpha: float = 0.0) -> FaceLayer:
        """A face's layer that shows nothing, or (alpha) a red patch that is no part of the photograph."""
        box = (60, 60, 80, 90)
        size = (30, 20)
        return FaceLayer(
            box, np.full(size, alpha, np.float32), np.full((*size, 3), (1, 0, 0), np.float32),
            np.zeros((*size, 2), np.float32), np.zeros(size, np.float32), np.full(size, NOTHING, np.uint8),
            FRONT, FRONT, self.places, self.depths, pose.R, pose.T,
        )  # fmt: skip

    def turn(self, yaw=0.0, pitch=0.0, roll=0.0, x=0.0) -> Pose:
        angles = self.turned + (yaw, pitch, roll)
        R = rotation(*angles)
        return Pose(R, shift_of(R, pivot_of(self.pose.R, self.pose.T) + (x, 0, 0)), angles[2])

    def draw(self, **turn: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frame, field and known over the scene's box."""
        pose = self.turn(**turn)
        layer = self.layer(pose)
        frame, sources = self.scene.draw(layer, pose)
        origin = self.scene.origin(layer, sources)
        return frame, origin.field, origin.known


TURNS = [{"yaw": 18.0}, {"yaw": -15.0, "pitch": 6.0}, {"pitch": -12.0}, {"roll": 14.0}, {"x": 2.0}]
STAGE = Stage(240, 300)


@pytest.mark.parametrize(("h", "w"), [(192, 160), (100, 240), (301, 97), (64, 64)])
def test_nothing_moves_byte_for_byte(h, w):
    stage = Stage(h, w, turned=(7.0, -4.0, 9.0))
    frame, field, known = stage.draw()
    assert frame.tobytes() == stage.image.tobytes()
    assert not field.any() and (known == 1).all()


@pytest.mark.parametrize("turn", TURNS)
def test_what_is_away_from_the_person_stays_byte_for_byte(turn):
    frame, _, _ = STAGE.draw(**turn)
    changed = (frame != STAGE.image).any(-1)
    assert changed.mean() > 0.05
    margin = 5 * STAGE.scene.sheet.scale  # cm: the soft band and what the head itself reaches into
    y, x = np.nonzero(STAGE.person > 0.1)
    left, top = int(x.min() - margin), int(y.min() - margin)
    assert left > 0 and not changed[:, :left].any() and not changed[: max(0, top)].any()
    # beyond the band the level lines behind the head are as level as before
    away = gaussian_filter((STAGE.person > 0.05).astype(float), margin / 2) < 1e-4
    assert (frame[away] == STAGE.image[away]).all()


@pytest.mark.parametrize("turn", TURNS)
def test_the_field_warps_the_photograph_into_the_frame(turn):
    frame, field, known = STAGE.draw(**turn)
    x0, y0, x1, y1 = STAGE.scene.box
    y, x = np.mgrid[y0:y1, x0:x1]
    at = [y + field[..., 1], x + field[..., 0]]
    image = STAGE.image.astype(float)
    warped = np.stack([map_coordinates(image[..., c], at, order=3, mode="nearest") for c in range(3)], -1)
    seen = known > 0.95
    assert seen.mean() > 0.6
    error = ((warped - frame[y0:y1, x0:x1])[seen] ** 2).mean()
    assert 10 * np.log10(255**2 / error) > 45


def test_hair_goes_with_the_head_and_the_trunk_stays():
    roll = 12.0
    pose = STAGE.turn(roll=roll)
    moved = STAGE.scene.sheet.moved(pose, np.zeros_like(FRONT))
    nodes = STAGE.scene.sheet.nodes
    px, py = STAGE.camera.project(to_camera(PIVOT, STAGE.pose.R, STAGE.pose.T))
    scale = STAGE.scene.sheet.scale
    top = np.abs(nodes - (px, py - 17 * scale)).sum(-1).argmin()
    a = np.radians(roll)
    dx, dy = nodes.reshape(-1, 2)[top] - (px, py)
    expected = (
        px + np.cos(a) * dx - np.sin(a) * dy,
        py + np.sin(a) * dx + np.cos(a) * dy,
    )  # clockwise about the pivot
    assert np.abs(moved.reshape(-1, 2)[top] - expected).max() < 0.05 * scale * 17
    low = nodes[..., 1] > py + 24 * scale
    assert low.any() and np.abs(moved - nodes)[low].max() == 0


@pytest.mark.parametrize("yaw", [-22.0, 22.0])
def test_an_ear_beside_the_cheek_keeps_its_width_when_it_comes_into_view(yaw):
    """The strip between the face's edge and the person's, at the height of the ears, on the side that a turn
    shows.
    """
    stage = Stage(480, 480, 150.0)
    sheet = stage.scene.sheet
    moved = sheet.moved(stage.turn(yaw=yaw), np.zeros_like(FRONT))
    x, y = stage.camera.project(to_camera(np.array([0.0, 1.0, 0.0]), stage.pose.R, stage.pose.T))
    row = np.abs(sheet.nodes[:, 0, 1] - y).argmin()
    side = -np.sign(yaw)
    cm = side * (sheet.nodes[row, :, 0] - x) / sheet.scale
    way = side * (moved[row, :, 0] - x) / sheet.scale
    inner_edge, outer_edge = (np.interp(at, cm[:: int(side)], way[:: int(side)]) for at in (7.5, 9.8))
    assert 0.9 < (outer_edge - inner_edge) / (9.8 - 7.5) < 1.65


def test_the_shoulders_follow_a_shift_a_little():
    way = (
        STAGE.scene.sheet.moved(STAGE.turn(x=2.0), np.zeros_like(FRONT))[..., 0]
        - STAGE.scene.sheet.nodes[..., 0]
    )
    nodes, scale = STAGE.scene.sheet.nodes, STAGE.scene.sheet.scale
    px, py = STAGE.camera.project(to_camera(PIVOT, STAGE.pose.R, STAGE.pose.T))
    shares = [
        way.reshape(-1)[np.abs(nodes - (px, py + below * scale)).sum(-1).argmin()] / (2 * scale)
        for below in (-10, 14, 30)
    ]
    assert 0.85 < shares[0] < 1.15 and 0.1 < shares[1] < 0.6 and abs(shares[2]) < 0.01


def test_nothing_folds_and_the_inverse_undoes_the_grid():
    sheet = STAGE.scene.sheet
    for turn in TURNS:
        pose = STAGE.turn(**turn)
        sources = sheet.sources(pose, np.zeros_like(FRONT))
        right, down = np.diff(sources[..., 0], axis=1), np.diff(sources[..., 1], axis=0)
        assert right.min() > 0 and down.min() > 0
        moved = sheet.moved(pose, np.zeros_like(FRONT))
        # where a node went, it is found again
        at = ((moved - sheet.nodes[0, 0]) / sheet.step).reshape(-1, 2).T[::-1]
        inner = (at > 1).all(0) & (at < np.array(sheet.shape)[:, None] - 2).all(0)
        found = np.stack([map_coordinates(sources[..., k], at, order=1) for k in (0, 1)], -1)
        error = np.abs(found - sheet.nodes.reshape(-1, 2)).max(-1)[inner]
        assert np.quantile(error, 0.99) < 0.15 * sheet.step


@pytest.mark.parametrize("side", ["top", "left", "right"])
def test_nothing_comes_in_from_beyond_the_border(side):
    """The person is cut by the border and the head moves away from it: all that is drawn lies in the
    photograph.
    """
    middle = {"top": (0.5, 0.1), "left": (0.08, 0.42), "right": (0.92, 0.42)}[side]
    turn = {"top": {"pitch": 14.0}, "left": {"roll": 12.0}, "right": {"roll": -12.0}}[side]
    stage = Stage(middle=middle)
    pose = stage.turn(**turn)
    sources = stage.scene.sheet.sources(pose, np.zeros_like(FRONT))
    x0, y0, x1, y1 = stage.scene.box
    there = plain_scene.places(sources, stage.scene.sheet.step, 12, y1 - y0, x1 - x0)
    edge = {"top": there[0, :, 1], "left": there[:, 0, 0], "right": stage.image.shape[1] - there[:, -1, 0]}[
        side
    ]
    person = stage.person[y0:y1, x0:x1]
    cut = {"top": person[0], "left": person[:, 0], "right": person[:, -1]}[side]
    assert (cut > 0.9).any()
    assert edge[cut > 0.9].min() > 0
    frame, field, _ = stage.draw(**turn)
    assert np.abs(field).max() > stage.scene.sheet.scale  # and it does move


def test_a_line_along_the_edge_is_no_part_of_the_picture_and_stays():
    stage = Stage(middle=(0.5, 0.1))
    assert inner(stage.image) == (0, 0, 160, 192)
    lined = stage.image.copy()
    lined[:2] = lined[:, -1:] = 10
    assert inner(lined) == (0, 2, 159, 192)
    white = np.full((90, 120, 3), 250, np.uint8)  # a studio's ground is no line
    assert inner(white) == (0, 0, 120, 90)
    white[3:, 40:70] = 20  # nor is what lies above a head
    assert inner(white) == (0, 0, 120, 90)
    fading = np.repeat(np.linspace(200, 100, 90)[:, None, None], 120, 1).repeat(3, 2).astype(np.uint8)
    assert inner(fading) == (0, 0, 120, 90)
    scene = Scene(lined, stage.person, stage.camera, stage.pose, FRONT, stage.places, stage.depths)
    pose = stage.turn(pitch=14.0)
    frame, _ = scene.draw(stage.layer(pose), pose)
    assert (frame[:2] == 10).all() and (frame[:, -1] == 10).all()
    bars = [(np.abs(one[2:, :-1].astype(int) - 10).max(-1) < 8).sum() for one in (stage.image, frame)]
    assert bars[1] <= bars[0] + 2  # nothing of the line's colour is drawn in


def test_a_motion_that_grows_evenly_changes_the_frame_evenly():
    """No weight of the composition jumps: a slow turn changes the frame by its field and little else."""
    before, image, ratios = None, STAGE.image.astype(float), []
    x0, y0, x1, y1 = STAGE.scene.box
    y, x = np.mgrid[y0:y1, x0:x1]
    for k in range(8):
        frame, field, known = STAGE.draw(yaw=3 + 0.2 * k)
        at = [y + field[..., 1], x + field[..., 0]]
        warped = np.stack([map_coordinates(image[..., c], at, order=3, mode="nearest") for c in range(3)], -1)
        now = frame[y0:y1, x0:x1].astype(float)
        if before is not None:
            seen = (known > 0.9) & (before[2] > 0.9)
            ratios.append(np.abs(now - before[0])[seen].mean() / np.abs(warped - before[1])[seen].mean())
            hidden = ~seen
            assert np.abs(now - before[0])[hidden].mean() < 8
        before = now, warped, known
    assert max(ratios) < 1.1


def test_a_frame_is_the_same_on_every_run():
    again = Stage(240, 300)
    assert again.draw(yaw=11.0, roll=4.0)[0].tobytes() == STAGE.draw(yaw=11.0, roll=4.0)[0].tobytes()


@pytest.mark.parametrize("turn", TURNS)
def test_the_compiled_kernels_are_the_plain_ones(turn, monkeypatch):
    pose = STAGE.turn(**turn)
    sheet = STAGE.scene.sheet
    moved = sheet.moved(pose, np.zeros_like(FRONT))
    compiled, plain = (one.inverse(sheet.nodes, moved, sheet.step) for one in (compiled_scene, plain_scene))
    assert np.quantile(np.abs(compiled - plain), 0.999) < 1e-3
    layer = STAGE.layer(pose, 0.7)
    frames = []
    for one in (compiled_scene, plain_scene):
        monkeypatch.setattr(kernels, "compiled_scene", one)
        frames.append(STAGE.scene.draw(layer, pose)[0])
    assert np.abs(frames[0].astype(int) - frames[1]).max() <= 1


def keys(x: np.ndarray, a: float = -1.0) -> np.ndarray:
    """The cubic convolution kernel (Keys 1981)."""
    x = np.abs(x)
    near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def test_single_precision_is_double_precision_on_a_small_picture():
    pose = STAGE.turn(yaw=12.0, pitch=5.0)
    sheet = STAGE.scene.sheet
    sources = sheet.sources(pose, np.zeros_like(FRONT))
    frame, _ = STAGE.scene.draw(STAGE.layer(pose), pose)
    x0, y0, x1, y1 = STAGE.scene.box
    w, h = x1 - x0, y1 - y0
    # the composition again, in float64, from its definition
    there = plain_scene.places(sources.astype(np.float64), sheet.step, 12, h, w).astype(np.float64)
    here = np.stack(np.meshgrid(np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5), -1)
    at = [there[..., 1] - 0.5, there[..., 0] - 0.5]
    person = map_coordinates(STAGE.scene.behind.picture[..., 3] / 255.0, at, order=1, mode="nearest")[
        ..., None
    ]
    read = np.zeros((h, w, 3))
    floor = [np.floor(one).astype(int) for one in at]
    for i in range(-1, 3):
        for j in range(-1, 3):
            across = at[1] - floor[1] - j
            line = np.maximum(1 - np.abs(across), 0) if i in (-1, 2) else keys(across)
            weight = keys(at[0] - floor[0] - i) * line
            y, x = (
                np.clip(f + k, 0, n - 1) for f, k, n in zip(floor, (i, j), STAGE.image.shape, strict=False)
            )
            read += weight[..., None] * STAGE.image[y, x]
    moved = np.linalg.norm(there - here, axis=-1, keepdims=True)
    own = STAGE.image[y0:y1, x0:x1].astype(float)
    filled = (1 - person) * STAGE.scene.behind.share[..., None] * np.minimum(3 * moved / sheet.step, 1)
    below = (1 - person - filled) * own + filled * STAGE.scene.behind.plate + person * np.clip(read, 0, 255)
    s = np.clip((moved - 0.02) / 0.48, 0, 1)
    wanted = own + s * s * (3 - 2 * s) * (below - own)
    inside = (there > 1).all(-1) & (there < (STAGE.image.shape[1] - 1, STAGE.image.shape[0] - 1)).all(-1)
    assert np.abs(frame[y0:y1, x0:x1] - wanted)[inside].max() < 1


def test_the_ground_is_the_picture_beside_and_keeps_its_grain():
    h, w = 160, 200
    random = np.random.default_rng(1)
    x = np.arange(w)
    plain = 60 + 0.5 * x[None, :, None] + np.zeros((h, w, 3)) + random.normal(0, 6, (h, w, 3))
    person = np.zeros((h, w), np.float32)
    person[50:110, 70:130] = 1
    image = np.where(person[..., None] > 0, 255, np.clip(plain, 0, 255)).astype(np.uint8)
    filled, share, strands = ground(image, person, 4.0, 4.0)
    beside = share == 0
    assert (
        (filled[beside] == image[beside]).all() and beside[:30].all() and (share[50:110, 70:130] == 1).all()
    )
    inside = filled[55:105, 75:125].astype(float)
    assert abs(inside.mean() - plain[55:105, 75:125].mean()) < 8  # nothing of the white person
    rough = [np.std(part - gaussian_filter(part, (2, 2, 0))) for part in (inside, plain[5:45, 75:125])]
    assert 0.6 < rough[0] / rough[1] < 1.4


def test_strands_that_the_outline_missed_belong_to_the_person():
    h, w = 160, 200
    random = np.random.default_rng(1)
    image = np.clip(150 + random.normal(0, 3, (h, w, 3)), 0, 255)
    person = np.zeros((h, w), np.float32)
    person[50:110, 70:130] = 1
    image[50:110, 70:130] = 40
    image[75:78, 130:136] = 40  # a lock beside the outline
    _, _, strands = ground(image.astype(np.uint8), person, 8.0, 4.0)
    assert strands[76, 130:132].min() > 0.5 and strands[:, :60].max() == 0
    plain = (person == 0) & (np.abs(image.mean(-1) - 150) < 10)
    assert strands[plain].mean() < 0.01


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_picture_without_a_person_or_without_a_ground_is_its_own_ground(share):
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    filled, filled_share, strands = ground(image, np.full((40, 50), share, np.float32), 3.0, 3.0)
    assert (filled == image).all() and not filled_share.any() and not strands.any()


def test_without_an_outline_a_soft_ellipse_stands_for_it():
    stage = Stage()
    scene = Scene(
        stage.image, np.zeros_like(stage.person), stage.camera, stage.pose, FRONT, stage.places, stage.depths
    )
    assert stage.scene.outlined and not scene.outlined
    x, y = stage.camera.project(to_camera(CENTRE, stage.pose.R, stage.pose.T)).astype(int)
    assert scene.behind.picture[y, x, 3] == 255 and scene.behind.picture[0, 0, 3] == 0


def test_turning_is_free_near_the_portrait_and_limited_by_what_it_shows():
    frontal, turned = np.array([0, 0, 0, 0, 0, 60.0]), np.array([20, 0, 0, 0, 0, 60.0])
    for yaw in (-18.0, -5.0, 0.0, 11.0, 18.0):
        assert limited(frontal, np.array([yaw, 0, 0, 0, 0, 0]))[0] == yaw
    far = [limited(frontal, np.array([yaw, 0, 0, 0, 0, 0]))[0] for yaw in (20, 30, 60, 120)]
    assert far == sorted(far) and 19.5 < far[0] < 20 and far[-1] <= 25
    # a head that is turned to the right goes on to the right: its other side is not in the picture ...
    right, left = (limited(turned, np.array([yaw, 0, 0, 0, 0, 0]))[0] for yaw in (60.0, -60.0))
    assert 26.5 < right <= 27 and -11 <= left < -10
    for sign in (-1, 1):  # both ways alike, and a three-quarter portrait is never turned to its far side
        back = limited(np.array([sign * 35.0, 0, 0, 0, 0, 60]), np.array([-sign * 50.0, 0, 0, 0, 0, 0]))[0]
        assert 0 < -sign * back < 4
    # ... and a motion has no step
    asked = np.linspace(-90, 90, 2000)
    drawn = np.array([limited(turned, np.array([yaw, yaw / 2, yaw, yaw / 9, 0, yaw])) for yaw in asked])
    steps = np.diff(drawn, axis=0)
    assert (steps >= 0).all() and (steps <= np.diff(asked)[:, None] * 1.001).all()


@pytest.mark.parametrize(
    "turn", [{"yaw": -20.0, "pitch": -6.0, "roll": 8.0}, {"yaw": 20.0, "roll": -10.0}, {"pitch": 12.0}]
)
def test_hair_that_is_pushed_stands_in_no_stairs_and_keeps_its_order(turn):
    sheet = STAGE.scene.sheet
    moved = sheet.moved(STAGE.turn(**turn), np.zeros_like(FRONT)) / sheet.step
    for axis in (0, 1):  # from row to row a column bends little
        assert np.abs(np.diff(moved[..., axis], 2, axis=axis)).max() < 0.25
        assert np.diff(moved[..., axis], axis=1 - axis).min() > 0.34
