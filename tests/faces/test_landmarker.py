"""MediaPipe's landmarker: it comes with the package, is silent, and stands aside where it does not load.

Each test is a process of its own, for what a process imports and writes to its standard error.
"""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from actalker.faces import confirm, landmarker

FIND = "from skimage.data import astronaut; from actalker.faces.find import choose_finder, find_faces; "
NOTES = "import logging; logging.basicConfig(format='%(message)s'); "
HIDE = "import sys; sys.modules['mediapipe'] = None; "  # as if it was not installed


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k != "ACTALKER_FACE_MODEL"}
    words = [sys.executable, "-c", code]
    root = str(Path(__file__).parents[2])
    return subprocess.run(words, capture_output=True, text=True, env={**kept, **env}, cwd=root)


def test_the_model_beside_its_card_is_the_one_that_the_card_describes():
    card = (landmarker.SHIPPED.parent / "README.md").read_text()
    data = landmarker.SHIPPED.read_bytes()
    assert hashlib.sha256(data).hexdigest() in card and f"{len(data)} bytes" in card
    assert "Apache-2.0" in card and "Model%20Card" in card
    assert "Apache License" in (landmarker.SHIPPED.parent / "LICENSE").read_text()


def test_the_package_that_is_built_holds_the_models(tmp_path):
    words = [sys.executable, "-W", "ignore", "-c", "from setuptools import setup; setup()", "-q"]
    words += ["egg_info", "--egg-base", str(tmp_path), "build_py", "--build-lib", str(tmp_path / "built")]
    subprocess.run(words, check=True, cwd=Path(__file__).parents[2], capture_output=True)
    folder = tmp_path / "built" / landmarker.SHIPPED.parent.relative_to(Path(__file__).parents[2])
    assert {path.name for path in folder.iterdir()} == {"face_landmarker.task", "LICENSE", "README.md"}
    assert (folder.parent / confirm.WEIGHTS.name).read_bytes() == confirm.WEIGHTS.read_bytes()


def test_it_is_the_finder_without_any_option_and_writes_nothing_of_its_own():
    done = run(NOTES + FIND + "face = find_faces(astronaut()[:300]); print(face.scheme, len(face.landmarks))")
    assert done.stdout.split() == ["mediapipe478", "478"], done.stderr
    assert done.stderr == ""


@pytest.mark.slow  # on a busy machine the other writer may be late
def test_what_others_write_while_it_is_made_is_not_lost():
    code = """
import os, sys, threading
from actalker.faces import confirm, landmarker
go, told = threading.Event(), threading.Event()
def talk():
    for k in range(200):
        print(f"line {k}", file=sys.stderr, flush=True)
        os.write(2, f"native {k}\\n".encode())
        told.wait(0.001)
thread = threading.Thread(target=talk)
thread.start()
landmarker._landmarker(str(landmarker.SHIPPED))
thread.join()
os.write(2, b"after\\n")
"""
    done = run(code)
    expected = {f"{who} {k}" for who in ("line", "native") for k in range(200)} | {"after"}
    assert set(done.stderr.splitlines()) == expected


def test_the_error_stream_is_put_back_when_the_model_is_none(tmp_path):
    (tmp_path / "wrong.task").write_bytes(b"not a model" * 100)
    code = (
        "import os; from pathlib import Path; from actalker.errors import InputError\n"
        + FIND
        + f"\ntry: find_faces(astronaut(), model=Path({str(tmp_path / 'wrong.task')!r}))\n"
        "except InputError as error: print(error)\nos.write(2, b'still here\\n')"
    )
    done = run(code)
    assert done.stderr == "still here\n"
    assert "wrong.task: is not a face landmarker" in done.stdout


def test_without_mediapipe_the_cascade_looks_and_one_line_says_what_to_install():
    done = run(
        HIDE + NOTES + FIND + "find_faces(astronaut()); find_faces(astronaut()); print(choose_finder()[0])"
    )
    assert done.stdout.split() == ["cascade"]
    (line,) = done.stderr.splitlines()
    assert "mediapipe is absent; pip install mediapipe" in line and "cascade" in line


@pytest.mark.skipif(sys.platform != "linux", reason="its loader is asked")
def test_where_a_system_library_is_missing_it_is_named_with_the_line_that_installs_it(tmp_path):
    (tmp_path / "libEGL.so.1").write_bytes(b"")  # what the loader meets first
    done = run(
        NOTES + FIND + "find_faces(astronaut()); print(choose_finder()[0])", LD_LIBRARY_PATH=str(tmp_path)
    )
    assert done.stdout.split() == ["cascade"], done.stderr
    (line,) = done.stderr.splitlines()
    assert re.search(r"libEGL\.so\.1 is missing.*apt-get install .*libegl1", line) and "cascade" in line


def test_a_finder_that_was_asked_for_is_not_replaced():
    done = run(
        HIDE
        + FIND
        + "from pathlib import Path; from actalker.errors import InputError\n"
        + "for words in (('landmarker',), ('auto', Path('README.md'))):\n"
        + "    try: choose_finder(*words)\n    except InputError as error: print(error)"
    )
    assert [line.count("mediapipe is absent") for line in done.stdout.splitlines()] == [1, 1]
