"""Arrangements: the fastest that fits, the same pictures from each, and what makes a run cheaper."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from models import small_model, some_conditions

from actalker.cli.main import main
from actalker.diffusion.guidance import passes
from actalker.errors import InputError
from actalker.pipeline import TalkingHeadPipeline
from actalker.pipeline.generate import generate
from actalker.pipeline.model.folder import save_model
from actalker.pipeline.model.memory import (
    GB,
    Arrangement,
    arrange,
    arrangements,
    needed,
    parse_budget,
    settle,
)
from actalker.pipeline.options import RunOptions
from actalker.pipeline.sampling_plan import sampling_plan
from actalker.signals.signal import SIGNALS


@pytest.mark.parametrize("text, value", [("8GB", 8), ("0.5 gb", 0.5), ("24G", 24), ("12GiB", 12)])
def test_budgets(text, value):
    assert parse_budget(text) == value * GB


@pytest.mark.parametrize("text", ["8", "GB", "-1GB", "0GB", "8 TB", "", "1e9GB", "maximum"])
def test_what_is_no_budget(text):
    with pytest.raises(InputError, match="8GB"):
        parse_budget(text)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("passes", [1, 4])
def test_each_arrangement_needs_less_and_the_first_that_fits_is_taken(device, passes):
    model = small_model()
    known = arrangements(torch.float32, device, True)
    needs = [needed(model, one, device, passes) for one in known]
    assert all(a >= b for a, b in itertools.pairwise(needs)) and needs[-1] < needs[0]
    assert arrange(model, device, torch.float32, None, True, passes).need == needs[0]
    for one, need in zip(known, needs, strict=True):
        chosen = arrange(model, device, torch.float32, need, True, passes)
        assert chosen.need <= need and needs.index(chosen.need) <= known.index(one)
    with pytest.raises(InputError, match=r"at the least"):
        arrange(model, device, torch.float32, needs[-1] * 0.99, True, passes)


def test_a_budget_counts_the_passes_of_a_request_that_guides_everything(tmp_path):
    model = small_model()
    save_model(model, tmp_path / "model")
    scales = {s: 2.0 + k for k, s in enumerate(["identity", *SIGNALS])}
    most = len(passes(list(scales), scales))
    chosen = TalkingHeadPipeline.from_pretrained(tmp_path / "model", device="cpu", memory="max").arrangement
    assert chosen.together and chosen.need == needed(model, chosen, "cpu", most)


def test_a_dtype_that_was_asked_for_stays():
    model = small_model()
    least = arrangements(torch.float32, "cpu", False)[-1]
    assert least.dtype == torch.float32
    with pytest.raises(InputError):
        arrange(model, "cpu", torch.float32, needed(model, least, "cpu") * 0.99, False)


def video(model, **how) -> torch.Tensor:
    told = some_conditions(model, f=10)
    arrangement = how.pop("arrangement", Arrangement())
    plan = planned(model, **{"guidance": {"audio": 2.0, "text": 1.5}, "steps": 2, **how})
    return torch.cat(list(generate(model, told.frames, 10, plan, arrangement=arrangement)))


def planned(model, **how):
    return sampling_plan(RunOptions(**how), model.config.sampling)


def test_every_arrangement_makes_the_same_pictures():
    """On the CPU, where a block's weights wait on another device than they run on too."""
    whole = video(small_model())
    for one in (
        Arrangement(together=False),
        Arrangement(decode=1),
        Arrangement(sliced=True),
        Arrangement(offload="block"),
    ):
        model = small_model()
        settle(model, one, torch.device("cpu"))
        if one.offload == "block":
            assert all(p.device.type == "meta" for p in model.network.parameters())
        torch.testing.assert_close(video(model, arrangement=one), whole, rtol=1e-4, atol=1e-4)


def test_guidance_is_the_models_own_unless_given():
    plain, own = small_model(), small_model()
    own.config = replace(
        own.config, sampling=replace(own.config.sampling, guidance={"text": 4.0, "audio": 2.0})
    )
    same = video(plain, guidance={"audio": 2.0, "text": 4.0})
    assert torch.equal(video(own, guidance={}), same)
    assert torch.equal(video(own, guidance={"text": 1.0}), video(plain, guidance={"audio": 2.0}))
    assert not torch.equal(video(plain, guidance={}), same)


def test_attention_that_is_kept_changes_little_and_leaves_nothing_behind():
    model = small_model()
    told = some_conditions(model, f=10)

    def made(reuse: int) -> torch.Tensor:
        return torch.cat(list(generate(model, told.frames, 10, planned(model, steps=5, reuse=reuse))))

    whole = made(1)
    kept = made(2)
    assert torch.equal(made(1), whole)
    assert torch.equal(made(2), kept)
    assert 0 < (kept - whole).abs().mean() < 0.2 * whole.std()
    alone = torch.cat(list(generate(model, told.frames, 6, planned(model, steps=5, reuse=2))))
    assert torch.equal(alone[:4], kept[:4])  # what was kept in a window is not used in the next


def test_few_steps_of_a_distilled_model_end_at_its_estimate_and_repeat(made):
    model = small_model()
    told = some_conditions(model, f=6)
    few = {"steps": 3, "sampler": "consistency"}
    one, again, other = (
        torch.cat(list(generate(model, told.frames, 6, planned(model, seed=seed, **few))))
        for seed in (0, 0, 1)
    )
    assert one.isfinite().all() and torch.equal(one, again) and not torch.equal(one, other)


def test_the_program_takes_the_options_and_tells_them(made, tmp_path, capsys):
    given = ["infer", "--portrait", made / "face.png", "--model", made / "model", "--out", tmp_path / "a.mp4"]
    given = [*map(str, given), "--audio", str(made / "speech.wav"), "--duration", "0.4"]
    assert main([*given, "--memory", "2GB", "--reuse", "2", "--steady"]) == 0
    assert "memory: float32, guidance in one batch" in capsys.readouterr().out
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["reuse"] == 2 and told["steady"] is True and not told["compiled"]
    assert told["memory"].startswith("float32")
    for words, said in (
        (["--memory", "0.1GB"], "at the least"),
        (["--reuse", "9"], "1 (none) to 8"),
        (["--reuse", "2", "--windows", "shifted"], "overlapping windows"),
    ):
        assert main([*given, *words, "--overwrite"]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(torch, "compile"), reason="needs torch.compile")
def test_a_compiled_network_makes_the_same_pictures():
    model = small_model()
    whole = video(model)
    model.network.compile()
    assert np.abs((video(model) - whole).numpy()).max() < 1e-3
