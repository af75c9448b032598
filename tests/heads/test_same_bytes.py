"""Drawing gives the same bytes in every process, with kernels just compiled or from a cache."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DRAWS = """
import hashlib

import numpy as np
from skimage.data import astronaut

from actalker.faces.landmarker import find_by_landmarker
from actalker.heads.drawing import HeadPortrait
from actalker.heads.fit import fit_face
from actalker.heads.model import head_model
from actalker.heads.outline import person_outline

photograph = np.ascontiguousarray(astronaut()[:256, 96:352])
face = max(find_by_landmarker(photograph), key=lambda face: face.area)
portrait = HeadPortrait(photograph, fit_face(face, photograph), person_outline(photograph))
drawn = hashlib.sha256()
for t in np.linspace(0.1, 1, 24):
    coefficients = head_model().coefficients(jawOpen=0.5 * t, mouthSmile=0.3 * t, eyeBlink=t)
    turned = np.array([11.3, -4.7, 5.9, 0.4, 0.2, 0.0]) * t
    drawn.update(portrait.draw(coefficients, turned, np.array([5.0, -3.0]) * t).frame.tobytes())
print(drawn.hexdigest())
"""


@pytest.mark.slow
def test_kernels_just_compiled_and_from_the_cache_draw_the_same_bytes(tmp_path):
    pytest.importorskip("numba")
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-c", DRAWS]
    compiled, loaded = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert list(tmp_path.rglob("*compose*.nbc"))
    assert len(compiled) == 65 and loaded == compiled
