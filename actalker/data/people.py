"""The split into training and validation: whole people are held out, never single clips of one."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

from ..errors import InputError
from .shards import Clip

HELD = 1 << 20  # of which `held_out` is a share
FEWEST = 2  # held out of a set of `ENOUGH` people or more
ENOUGH = 4
log = logging.getLogger("actalker")


def person_of(clip: Clip) -> str:
    """The person in a clip by its shard; where the shard names none, the clip's name."""
    return clip.person or clip.name


def held_out_people(persons: Sequence[str], share: float) -> frozenset[str]:
    """The people for validation only: a share of all, two at least where there are four or more.

    persons: of all clips. They are ranked by a hash of their names, so another set of clips, or another
    share, holds out mostly the same people. share: 0 holds out nobody.
    Raises: InputError for a share outside [0, 1), and where all clips are of one person.
    """
    if not 0 <= share < 1:
        raise InputError(f"data.held_out: {share}; give a share from 0 (nobody) to below 1")
    people = sorted(set(persons), key=lambda who: (_number(who), who))
    if share == 0 or not people:
        return frozenset()
    if len(people) == 1:
        raise InputError(
            f"data.held_out {share:g}: all clips are of one person, {people[0]}, so nobody can be held out; "
            "set it to 0, and validation sees what training does"
        )
    wanted = sum(_number(who) < share * HELD for who in people)
    least = FEWEST if len(people) >= ENOUGH else 1
    if wanted < FEWEST and least == 1:
        log.warning(
            "data.held_out %g: one of only %d people is held out, and validation says little; prepare clips "
            "of %d people or more",
            *(share, len(people), ENOUGH),
        )
    return frozenset(people[: max(wanted, least)])


def _number(who: str) -> int:
    return int(hashlib.sha256(who.encode(errors="surrogatepass")).hexdigest(), 16) % HELD
