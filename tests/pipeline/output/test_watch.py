"""Seam and drift scores against clips that are built to have them."""

import numpy as np
import pytest

from actalker.pipeline.output.watch import Watch, edges
from actalker.pipeline.talking_head import TalkingHeadPipeline


@pytest.fixture(scope="module")
def request_of(made):
    pipe = TalkingHeadPipeline.from_pretrained(made / "model", device="cpu")

    def of(windows: str, seconds: str = "2", steps: int = 2):
        return pipe.prepare(
            made / "face.png", audio=made / "speech.wav", duration=seconds, windows=windows, steps=steps
        )

    return of


def seen(request, frames) -> dict:
    watch = Watch(request)
    for frame in frames:
        watch.see(frame)
    return watch.report()


def grey(value: float) -> np.ndarray:
    return np.full((8, 8, 3), value, np.uint8)


@pytest.mark.parametrize(
    "windows, steps, expected",
    [
        ("overlapping", 2, {4, 6, 8, 10, 12, 14, 18}),  # windows 0-6, 4-10, 8-14, 12-18, 14-20
        ("shifted", 1, {6, 12, 18}),  # the last step stands at 0: 0-6, 6-12, 12-18, 18-4
        ("shifted", 2, {1, 7, 13, 19}),  # at 7, a window and a frame on
    ],
)
def test_edges_are_where_windows_begin_and_end(request_of, windows, steps, expected):
    assert edges(request_of(windows, "0.8", steps)) == expected


@pytest.mark.parametrize("windows", ["overlapping", "shifted"])
@pytest.mark.parametrize("factor", [1, 3])
def test_jumps_at_the_edges_are_the_seam(request_of, windows, factor):
    """Every frame is brighter than the one before by 1, and by `factor` where windows meet."""
    request = request_of(windows)
    at, values = edges(request), [0.0]
    for frame in range(1, 50):
        values.append(values[-1] + (factor if frame in at else 1))
    assert seen(request, map(grey, values))["seam"] == factor


def test_drift_is_last_second_less_first(request_of):
    first, last = [grey(100)] * 25, [np.dstack([grey(110), grey(95), grey(100)])[..., [0, 3, 6]]] * 25
    told = seen(request_of("overlapping"), first + last)
    assert told["colour_drift"] == [10, -5, 0]


def test_the_same_face_has_not_drifted_and_another_has(request_of, made):
    from actalker.media.image import read_image

    request = request_of("overlapping")
    face = request.inputs.portrait.picture
    other = np.ascontiguousarray(read_image(made / "face.png")[:64, :64][::-1])
    still, moved = (seen(request, [face] * 25 + [last] * 25)["identity_drift"] for last in (face, other))
    assert still == 0 < moved


def test_a_still_clip_and_a_short_one_have_no_seam(request_of):
    assert seen(request_of("overlapping"), [grey(9)] * 50)["seam"] is None
    assert seen(request_of("shifted", "0.16"), [grey(9), grey(10), grey(12), grey(13)])["seam"] is None
