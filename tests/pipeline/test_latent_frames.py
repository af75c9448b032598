"""A model whose codec covers four video frames with one latent frame, from inputs to frames."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from models import Fourfold, small_model, some_conditions

from actalker import InputError, TalkingHeadPipeline
from actalker.codecs import CODECS
from actalker.diffusion.noise import exploding
from actalker.diffusion.objective import ObjectiveConfig, denoising_loss
from actalker.pipeline.generate import generate
from actalker.pipeline.model.memory import LATENTS, Arrangement
from actalker.pipeline.options import RunOptions
from actalker.pipeline.sampling_plan import sampling_plan


@pytest.fixture(scope="module")
def model():
    """32 x 32 pixels, windows of 6 latent frames that share 2."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CODECS, "Fourfold", Fourfold)
        return small_model(size=32, codec="Fourfold", codec_args={"stride": 4})


def frames(model, conditions, count, **how):
    return torch.cat(list(generate(model, conditions.frames, count, **how)))


def planned(model, **options):
    return sampling_plan(RunOptions(**options), model.config.sampling)


class PlaceOfTheFace:
    """A denoiser that draws how bright each latent frame's `face` is: no frame sees another."""

    path = staticmethod(exploding)

    def __call__(self, x, sigma, conditions):
        assert x.shape[1] == conditions.length
        return conditions.maps["face"].mean((2, 3))[..., None, None, None].expand_as(x).clone()


@pytest.mark.parametrize("windows", ["overlapping", "shifted"])
@pytest.mark.parametrize("count", [3, 8, 38])
def test_every_video_frame_shows_its_own_latent_frame(model, count, windows):
    """Frame k is as bright as the brightest of the four that share its latent frame; windows do not show."""
    bright = torch.rand(count, generator=torch.Generator().manual_seed(2))
    video = some_conditions(model, f=count)
    places = bright.view(1, count, 1, 1).expand_as(video.maps["face"])
    video = replace(video, maps={**video.maps, "face": places})
    asked = []

    def conditions(start, stop):
        asked.append((start, stop))
        return video.frames(start, stop)

    drawn = SimpleNamespace(config=model.config, codec=model.codec, network=model.network)
    drawn.denoise = PlaceOfTheFace()
    drawn.over_latent_frames = lambda *given: type(model).over_latent_frames(drawn, *given)
    plan, few = planned(model, steps=1, windows=windows), Arrangement(decode=3)
    out = torch.cat(list(generate(drawn, conditions, count, plan, arrangement=few)))
    expected = torch.stack([bright[k // 4 * 4 : k // 4 * 4 + 4].max() for k in range(count)])
    assert out.shape == (count, 3, 32, 32)
    torch.testing.assert_close(out, expected.view(-1, 1, 1, 1).expand_as(out), rtol=1e-4, atol=1e-4)
    assert all(start % 4 == 0 and (stop % 4 == 0 or stop == count) for start, stop in asked)


def test_a_clip_is_made_of_fewer_latents(model, made):
    pipe = TalkingHeadPipeline(model)
    pipe.set_progress_bar_config(disable=True)
    given = {"portrait": made / "face.png", "text": "smiles", "audio": made / "speech.wav", "crop": "none"}
    given |= {"duration": 1.2, "guidance": {"text": 2.0}}
    request = pipe.prepare(**given)
    assert (request.frames, request.plan.windows) == (30, 2)  # 8 latent frames in windows of 6 that share 2
    latents = pipe(**given, output_type="latent")
    assert latents.frames.shape == (8, 192, 8, 8)
    out = pipe(**given, output_type="pt")
    decoded = model.codec.decode(latents.frames[None])[0, :30] / 2 + 0.5
    torch.testing.assert_close(out.frames, decoded.clamp(0, 1), rtol=0, atol=1 / 254)
    assert float(latents.sound.duration) == pytest.approx(0.8, abs=0.01) == float(out.sound.duration)
    with pytest.raises(InputError, match=r"starts from unit noise of shape \(1, 8, 192, 8, 8\)"):
        pipe(**given, latents=torch.zeros(1, 30, 192, 8, 8))


def test_a_closed_signal_changes_no_bit(model):
    """And one that is open in some frames only changes those latent frames' windows."""
    video = some_conditions(model, f=12)
    shut = some_conditions(model, f=12, gates={"audio": 0.0, "expression": 1.0, "text": 1.0})
    without = some_conditions(model, f=12, gates={"expression": 1.0, "text": 1.0})
    clips = [frames(model, one, 12, arrangement=LATENTS) for one in (video, shut, without)]
    assert torch.equal(clips[1], clips[2]) and not torch.equal(clips[0], clips[1])


def test_training_sees_latent_frames(model):
    """A network that is silent and clean latents that are its target: the error is theirs, by region."""
    video = torch.rand(2, 10, 3, 32, 32) * 2 - 1
    latents = model.codec.encode(video)
    assert latents.shape == (2, 3, 192, 8, 8)
    assert torch.equal(model.codec.decode(latents)[:, :10], video)
    told = model.over_latent_frames(some_conditions(model, 2, 10))
    losses = denoising_loss(
        model.denoise, latents, told, ObjectiveConfig(region_weight=1.0), torch.Generator().manual_seed(0)
    )
    assert losses.clean.shape == latents.shape and losses.by_item.isfinite().all()
    np.testing.assert_allclose(float(losses.total), float(losses.by_item.mean()), rtol=1e-6)
