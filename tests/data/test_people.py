"""Clips of one face are one person's."""

from __future__ import annotations

import json
import tarfile

import numpy as np
import pytest
import torch
from media_files import tone, video_file
from prepare_files import face_frames, rows, run_prepare

from actalker.data.prepare.people import groups_of
from actalker.signals.resnet import IdentityNet


def test_groups_do_not_depend_on_order_and_are_told_apart_by_the_threshold():
    """200 people of 1 to 8 clips each; a person's vectors lie near each other, others are at random."""
    generator = np.random.default_rng(0)
    who = np.repeat(np.arange(200), generator.integers(1, 9, 200))
    centres = generator.standard_normal((200, 512))
    vectors = centres[who] + 0.6 * generator.standard_normal((len(who), 512))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    order = generator.permutation(len(who))
    for rows_ in (np.arange(len(who)), order):
        groups = np.array(groups_of(vectors[rows_], 0.5))
        assert len(set(groups)) == 200
        assert np.array_equal(groups[:, None] == groups, who[rows_][:, None] == who[rows_])
    assert len(set(groups_of(vectors, 1.1))) == len(who) and len(set(groups_of(vectors, -1.1))) == 1


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Two clips of one face under two names, and one of another, with a network of random weights."""
    root = tmp_path_factory.mktemp("people")
    (root / "source").mkdir()
    for name in "abc":
        frames = [np.ascontiguousarray(frame[..., :: -1 if name == "a" else 1]) for frame in face_frames(10)]
        video_file(root / "source" / f"{name}.mp4", frames, 10, sound=tone(1.0, hz=300 + ord(name)))
    torch.manual_seed(0)
    torch.save(IdentityNet((1, 1, 1, 1)).state_dict(), root / "arcface.pth")
    limits = ("--people.similarity", 0.99999, "--track_limits.others_share", 1)
    words = (root / "source", "--out", root / "out", "--engine", "serial", *limits)
    run_prepare(*words, "--arcface", root / "arcface.pth")
    return words, root


def people(root) -> dict[str, tuple[str, str]]:
    found = {}
    for shard in (root / "out/shards").glob("*.tar"):
        with tarfile.open(shard) as tar:
            for info in tar:
                if info.name.endswith(".json"):
                    meta = json.loads(tar.extractfile(info).read())
                    found[meta["clip"]] = meta["person"], meta["person_by"]
    told = {clip: (row["person"], row["person_by"]) for clip, row in rows(root / "out").items()}
    assert told == found, "manifest and shards agree"
    return found


def test_a_person_is_a_face_where_a_network_knows_faces_and_else_a_video(prepared):
    words, root = prepared
    by_face = {"a.mp4": ("a.mp4", "face"), "b.mp4": ("b.mp4", "face"), "c.mp4": ("b.mp4", "face")}
    assert people(root) == by_face
    run_prepare(*words)
    assert people(root) == {f"{name}.mp4": (name, "video") for name in "abc"}
