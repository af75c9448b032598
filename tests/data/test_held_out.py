"""Who validation sees and training never does: people, and enough of them."""

from pathlib import Path

import pytest

from actalker.data.members import Damaged, read_meta
from actalker.data.people import held_out_people, person_of
from actalker.data.places import LocalFile
from actalker.data.shards import Clip
from actalker.errors import InputError

PEOPLE = [f"id{k:05d}" for k in range(17)]


def test_two_people_at_least_are_held_out_of_four_or_more(caplog):
    """0.02 of 17 people was nobody."""
    for people in (PEOPLE, PEOPLE[:4]):
        held = held_out_people(people * 3, 0.02)
        assert len(held) == 2 and held < set(people)
    assert not caplog.text
    more = held_out_people(PEOPLE, 0.5)
    assert held_out_people(PEOPLE, 0.02) < more and 4 <= len(more) <= 13
    assert held_out_people(PEOPLE, 0.0) == frozenset()
    many = [f"id{k}" for k in range(5000)]
    assert 60 < len(held_out_people(many, 0.02)) < 140


def test_fewer_people_are_told_or_refused(caplog):
    assert len(held_out_people(PEOPLE[:3], 0.02)) == 1
    assert "data.held_out 0.02: one of only 3 people is held out" in caplog.text
    with pytest.raises(
        InputError, match="all clips are of one person, id00000, so nobody can be held out; set"
    ):
        held_out_people(["id00000"] * 9, 0.02)
    with pytest.raises(InputError, match="data.held_out: 1.5; give a share from 0"):
        held_out_people(PEOPLE, 1.5)


def test_a_person_is_the_one_of_the_shard_and_else_the_clip():
    place = LocalFile("a.tar", Path("a.tar"))
    assert person_of(Clip(place, "k", "a.mp4", "id1", 9, {})) == "id1"
    assert person_of(Clip(place, "k", "a.mp4", "", 9, {})) == "a.mp4"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"clip": 1', b"\xff\xfe\x00", b"null"])
def test_what_is_no_json_of_a_clip_is_damaged(content):
    with pytest.raises(Damaged, match="its json cannot be read"):
        read_meta(content)
