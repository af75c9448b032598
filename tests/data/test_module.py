"""The order of clips is a function of (seed, step), the same after a resume, apart on every process."""

from actalker.data.module import StepSampler


def test_a_resumed_run_sees_what_it_would_have():
    whole = list(StepSampler(50, 6, seed=3, first=0, stop=30))
    assert list(StepSampler(50, 6, seed=3, first=11, stop=30)) == whole[11:]
    assert whole != list(StepSampler(50, 6, seed=4, first=0, stop=30))


def test_every_pass_sees_every_clip_once():
    seen = [k for batch in StepSampler(30, 5, seed=0, first=0, stop=12) for k in batch]
    assert sorted(seen[:30]) == list(range(30)) and sorted(seen[30:60]) == list(range(30, 60))
    assert seen[:30] != [place - 30 for place in seen[30:60]]


def test_processes_share_a_pass():
    parts = [[k for batch in StepSampler(24, 3, 0, 0, 4, rank, 2) for k in batch] for rank in (0, 1)]
    assert sorted(parts[0] + parts[1]) == list(range(24))
