"""face-alignment's finder on the real package, its weights made here: a detector that sees a face at known
places, and a network of random weights.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from actalker.errors import InputError
from actalker.faces import alignment, find, landmarker

pytest.importorskip("face_alignment", reason="pip install 'actalker[alignment]'")
PRIOR = 128  # pixels between the places of the detector's coarsest map; boxes there have four times the side


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A TORCH_HOME with weights under the package's names."""
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.models import FAN

    root = tmp_path_factory.mktemp("torch")
    folder = root / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    detector, landmarks = alignment.WEIGHTS
    weights = {name: torch.zeros_like(value) for name, value in s3fd().state_dict().items()}
    for name, value in weights.items():
        if name.endswith("mbox_conf.bias"):  # background, except at the coarsest places
            value[-1] = 9.0 if name.startswith("conv7_2") else -9.0
    torch.save(weights, folder / detector)
    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), folder / landmarks)
    return root


@pytest.fixture
def at_hand(hub, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(hub))
    alignment._aligner.cache_clear()
    yield hub / "hub" / "checkpoints"
    alignment._aligner.cache_clear()


def test_weights_are_looked_for_under_the_packages_names():
    from face_alignment.api import models_urls
    from face_alignment.detection.sfd.sfd_detector import models_urls as detectors

    urls = (detectors["s3fd"], models_urls["2DFAN-4"])
    assert tuple(url.rpartition("/")[2] for url in urls) == alignment.WEIGHTS


def test_without_weights_it_is_passed_over_and_says_which(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(landmarker, "_missing", lambda: "mediapipe is absent")
    assert find.choose_finder()[0] == "cascade"
    with pytest.raises(InputError, match=r"not on disk \(s3fd-.*, 2DFAN4-.* in "):
        find.choose_finder("alignment")


def test_faces_have_the_packages_points(at_hand, monkeypatch):
    monkeypatch.setattr(landmarker, "_missing", lambda: "mediapipe is absent")
    assert find.choose_finder()[0] == "alignment"
    image = np.ascontiguousarray(astronaut()[::4, ::4])
    (face,) = alignment.find_by_alignment(image, None)
    assert face.scheme == "ibug68"
    package = alignment._aligner()
    (box,) = package.face_detector.detect_from_image(image)
    assert box[2] - box[0] == box[3] - box[1] == 4 * PRIOR
    (points,) = package.get_landmarks_from_image(image, detected_faces=[box])
    np.testing.assert_array_equal(face.landmarks, points)
    x0, y0, x1, y1 = face.box
    assert (points >= [x0, y0]).all() and (points <= [x1, y1]).all()


def test_a_picture_without_a_face_is_told_in_one_line(at_hand):
    name = at_hand / alignment.WEIGHTS[0]
    weights = torch.load(name)
    try:
        torch.save({k: v.clamp(max=0) for k, v in weights.items()}, name)
        with pytest.raises(InputError, match="no face found by the alignment"):
            find.find_faces(astronaut()[::4, ::4], "alignment", name="portrait.png")
    finally:
        torch.save(weights, name)
