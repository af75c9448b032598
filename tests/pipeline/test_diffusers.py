"""The pipeline by diffusers' conventions: what its mixins' tests ask of a pipeline, and its names."""

from __future__ import annotations

import inspect
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, EDMEulerScheduler, StableVideoDiffusionPipeline
from diffusers.utils import export_to_gif, export_to_video
from media_files import sound_file
from PIL import Image

from actalker import InputError, TalkingHeadPipeline
from actalker.diffusion.noise import FrameNoise
from actalker.media.sound import read_sound
from actalker.media.video import read_frames
from actalker.pipeline.arguments import ATTRIBUTES, CALL, LOAD, SAVE

PAGE = Path(__file__).parents[2] / "docs/diffusers.md"
STEPS, WINDOWS, FRAMES = 2, 2, 10


@pytest.fixture(scope="module")
def pipe(made):
    pipe = TalkingHeadPipeline.from_pretrained(made / "model", device="cpu")
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def given(made):
    return {"portrait": made / "face.png", "text": "smiles", "duration": 0.4}


@pytest.fixture(scope="module")
def frames(pipe, made):
    """Of the clip of `given`, as the stream gives them."""
    request = pipe.prepare(made / "face.png", text="smiles", duration=0.4)
    return np.stack(list(pipe.stream(request)))


def listed(section: str) -> set[str]:
    """The names in the first column of a table of the page."""
    text = PAGE.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    cells = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
    return set(re.findall(r"`(\w+)`", " ".join(cells)))


def arguments(function) -> set[str]:
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.kind not in kinds} - {"self", "cls"}


def popped(function) -> set[str]:
    """What a function of diffusers takes out of its keyword arguments."""
    return set(re.findall(r"kwargs\.pop\(\s*\"(\w+)\"", inspect.getsource(function)))


@pytest.mark.parametrize(
    "section, theirs, ours, elsewhere",
    [
        (
            "Arguments of a call",
            arguments(StableVideoDiffusionPipeline.__call__),
            arguments(TalkingHeadPipeline.__call__),
            CALL,
        ),
        (
            "Arguments of from_pretrained",
            arguments(DiffusionPipeline.from_pretrained) | popped(DiffusionPipeline.from_pretrained),
            arguments(TalkingHeadPipeline.from_pretrained),
            LOAD,
        ),
        (
            "Arguments of save_pretrained",
            arguments(DiffusionPipeline.save_pretrained),
            arguments(TalkingHeadPipeline.save_pretrained),
            SAVE,
        ),
    ],
)
def test_every_argument_of_diffusers_is_taken_or_told(section, theirs, ours, elsewhere):
    """Each stands on the page; one that is not taken has a line that says what to give."""
    assert len(theirs) > 4 and theirs <= listed(section)
    assert theirs <= ours | set(elsewhere)
    assert not ours & set(elsewhere)


def test_every_attribute_of_diffusers_is_there_or_on_the_page(pipe):
    theirs = {name for name in dir(StableVideoDiffusionPipeline) if not name.startswith("_")}
    page = listed("Attributes and methods")
    assert theirs <= page
    own = {name for name in dir(DiffusionPipeline) if not name.startswith("_")}
    assert not [name for name in own if not hasattr(pipe, name)]
    for name, way in ATTRIBUTES.items():
        with pytest.raises(AttributeError, match=re.escape(f"has no '{name}': {way}")):
            getattr(pipe, name)


def test_a_call_shows_its_names_and_types_and_prepare_has_the_same(pipe):
    call, prepare = (inspect.signature(f).parameters for f in (pipe.__call__, pipe.prepare))
    assert list(call)[:4] == ["portrait", "audio", "expression", "text"]
    assert {"gates", "num_inference_steps", "generator", "output_type", "callback_on_step_end"} <= set(call)
    assert all(p.annotation is not p.empty and p.kind is not p.VAR_KEYWORD for p in call.values())
    own = {"output_type", "return_dict", "callback_on_step_end", "callback_on_step_end_tensor_inputs"}
    assert {name: str(p) for name, p in call.items() if name not in own} == {
        name: str(p) for name, p in prepare.items()
    }


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"duraton": 1}, "argument 'duraton' is unknown; did you mean 'duration'"),
        ({"prompt": "x"}, "argument 'prompt': it is called text"),
        (
            {"height": 64, "width": 64},
            r"'height': models of heads take size.*'width': models of heads take size",
        ),
    ],
)
def test_unknown_arguments_are_told_with_what_to_give(pipe, given, wrong, says):
    for call in (pipe, pipe.prepare):
        with pytest.raises(TypeError, match=says) as caught:
            call(**given, **wrong)
        assert isinstance(caught.value, InputError)
    with pytest.raises(InputError, match="'revison' is unknown; did you mean 'revision'"):
        TalkingHeadPipeline.from_pretrained("tiny", revison="main")
    with pytest.raises(InputError, match="'max_memory': give memory='8GB'"):
        TalkingHeadPipeline.from_pretrained("tiny", max_memory={0: "8GB"})


def test_kinds_of_output_agree(pipe, given, frames):
    pil, array, tensor = (pipe(**given, output_type=kind).frames for kind in ("pil", "np", "pt"))
    assert isinstance(pil, list) and all(isinstance(picture, Image.Image) for picture in pil)
    assert np.array_equal(pil, frames) and pil.shape == frames.shape and pil.dtype == np.uint8
    assert np.array_equal(pil.astype(int)[2:], frames[2:]) and (pil[::2] == frames[::2]).all()
    assert array.dtype == np.float32 and np.array_equal(array, frames.astype(np.float32) / 255)
    assert tensor.dtype == torch.float32 and np.array_equal(tensor.permute(0, 2, 3, 1).numpy(), array)
    latents = pipe(**given, output_type="latent").frames
    decoded = pipe.model.codec.decode(latents[None])[0].permute(0, 2, 3, 1)
    assert np.array_equal(((decoded + 1) * 127.5).round().clamp(0, 255).byte().numpy(), frames)


def test_out_0_are_the_frames_and_a_tuple_is_one(pipe, given, made):
    out = pipe(**given, audio=made / "speech.wav", return_dict=True)
    assert out[0] is out.frames is out["frames"]
    frames, fps, sound = pipe(**given, audio=made / "speech.wav", return_dict=False)
    assert np.array_equal(frames, out.frames) and fps == out.fps == 25
    assert np.array_equal(sound.samples, out.sound.samples)
    assert pipe(**given, return_dict=False)[1:] == (25, None)


@pytest.mark.parametrize("kind", ["pil", "np"])
def test_export_to_video_writes_the_picture(pipe, given, frames, tmp_path, kind):
    """A negative is 100 and more from it."""
    export_to_video(pipe(**given, output_type=kind).frames, str(tmp_path / "a.mp4"), fps=25, quality=9)
    read = np.stack(list(read_frames(tmp_path / "a.mp4")))
    assert read.shape == frames.shape and np.abs(read.astype(int) - frames).mean() < 5


def test_export_to_gif_takes_the_frames(pipe, given, tmp_path):
    export_to_gif(pipe(**given).frames, str(tmp_path / "a.gif"))
    with Image.open(tmp_path / "a.gif") as written:
        assert written.n_frames > 1


def test_components_rebuild_the_pipeline(pipe, given, frames):
    assert set(pipe.components) == {"model"}
    for other in (TalkingHeadPipeline(**pipe.components), TalkingHeadPipeline.from_pipe(pipe)):
        other.set_progress_bar_config(disable=True)
        assert other.model is pipe.model and np.array_equal(other(**given).frames, frames)


def test_it_is_the_same_after_saving_and_loading(pipe, given, frames, tmp_path, caplog):
    pipe.save_pretrained(tmp_path / "a", safe_serialization=False)
    assert "weights are written as safetensors all the same" in caplog.text
    first = {p.name: p.read_bytes() for p in (tmp_path / "a").rglob("*.*")}
    read = TalkingHeadPipeline.from_pretrained(tmp_path / "a", device="cpu")
    read.set_progress_bar_config(disable=True)
    read.save_pretrained(tmp_path / "b")
    assert {p.name: p.read_bytes() for p in (tmp_path / "b").rglob("*.*")} == first
    assert np.array_equal(read(**given).frames, frames)


def test_it_moves_and_says_where_it_is(made, given, frames):
    pipe = TalkingHeadPipeline.from_pretrained(made / "model", torch_dtype=torch.bfloat16, device="cpu")
    pipe.set_progress_bar_config(disable=True)
    assert (pipe.device, pipe.dtype) == (torch.device("cpu"), torch.bfloat16)
    each = {"model": torch.bfloat16, "default": torch.float16}
    told = TalkingHeadPipeline.from_pretrained(made / "model", dtype=each, device_map="cpu")
    assert (told.device, told.dtype) == (torch.device("cpu"), torch.bfloat16)
    with pytest.raises(InputError, match="device 'nowhere' is unknown"):
        TalkingHeadPipeline.from_pretrained(made / "model", device_map="nowhere")
    assert all(p.dtype == torch.bfloat16 for p in pipe.model.parameters())
    assert np.abs(np.asarray(pipe(**given).frames).astype(int) - frames).mean() < 4
    assert pipe.to("cpu", torch.float32) is pipe and pipe.dtype == pipe.arrangement.dtype == torch.float32
    with pytest.raises(InputError, match="device 'cuda:99' is not there"):
        pipe.to("cuda:99")
    with pytest.raises(InputError, match="dtype torch.int8: give one of: float32"):
        pipe.to(torch.int8)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["enable_model_cpu_offload", "enable_sequential_cpu_offload"])
def test_offloading_changes_no_frame(pipe, given, frames, how, tmp_path):
    getattr(pipe, how)(device="cpu")
    assert pipe.arrangement.offload != "none" and pipe.arrangement.need < 2**40
    assert np.array_equal(pipe(**given).frames, frames)
    pipe.save_pretrained(tmp_path / "a")  # weights that wait elsewhere are written all the same
    again = TalkingHeadPipeline.from_pretrained(tmp_path / "a", device="cpu").model.state_dict()
    assert np.array_equal(pipe(**given).frames, frames)
    pipe.to("cpu")
    assert pipe.arrangement.offload == "none"
    assert all(torch.equal(value, again[name]) for name, value in pipe.model.state_dict().items())


def test_offloading_needs_a_gpu(pipe, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match="there is no GPU that weights could come to"):
        pipe.enable_model_cpu_offload()


def test_a_generator_draws_the_seed(pipe, given):
    """Its state decides: the same clip from the same state, another from the next, and the seed is known."""

    def clip(generator):
        return np.asarray(pipe(**given, generator=generator).frames)

    generator = torch.Generator().manual_seed(3)
    first, second = clip(generator), clip(generator)
    assert (first != second).any() and np.array_equal(clip([torch.Generator().manual_seed(3)]), first)
    seed = pipe.prepare(**given, generator=torch.Generator().manual_seed(3)).options.seed
    assert np.array_equal(pipe(**given, seed=seed).frames, first)
    with pytest.raises(InputError, match="a list of 2; one clip is made a call"):
        clip([generator, generator])
    with pytest.raises(InputError, match="seed and generator: both are given"):
        pipe(**given, seed=1, generator=generator)


def test_latents_are_the_noise_that_it_starts_from(pipe, given, frames):
    noise = FrameNoise((192, 8, 8), 0, pipe.model.config.sampling.shared_noise).frames(0, FRAMES)
    assert np.array_equal(pipe(**given, latents=noise[0]).frames, frames)
    assert (np.asarray(pipe(**given, latents=noise.flip(1)).frames) != frames).any()
    with pytest.raises(InputError, match=r"starts from unit noise of shape \(1, 10, 192, 8, 8\)"):
        pipe(**given, latents=noise[:, :5])


def test_steps_have_two_names(pipe, given):
    one, other = (pipe.prepare(**given, **{name: 3}) for name in ("num_inference_steps", "steps"))
    assert one.sampling == other.sampling and one.sampling.steps == 3
    with pytest.raises(InputError, match="steps 2 and num_inference_steps 3"):
        pipe(**given, steps=2, num_inference_steps=3)


def test_the_callback_is_told_steps_timesteps_and_latents(pipe, given, frames):
    """Of each window; timesteps are those of diffusers' EDM schedulers; what is given back unchanged changes
    nothing.
    """
    told = []

    def callback(pipeline, step, timestep, tensors):
        told.append((pipeline is pipe, step, float(timestep), tensors["frames"].tolist(), tensors["latents"]))
        return tensors

    names = pipe._callback_tensor_inputs
    out = pipe(**given, callback_on_step_end=callback, callback_on_step_end_tensor_inputs=names)
    assert np.array_equal(out.frames, frames) and pipe.num_timesteps == STEPS
    sampling = pipe.model.config.sampling
    scheduler = EDMEulerScheduler(sigma_min=sampling.sigma_min, sigma_max=sampling.sigma_max)
    scheduler.set_timesteps(STEPS)
    expected = [(step, float(t)) for _ in range(WINDOWS) for step, t in enumerate(scheduler.timesteps)]
    assert [(step, timestep) for _, step, timestep, *_ in told] == expected and all(row[0] for row in told)
    assert [row[3] for row in told[::STEPS]] == [list(range(6)), list(range(4, 10))]
    assert all(row[4].shape == (1, 6, 192, 8, 8) for row in told)
    with pytest.raises(InputError, match="tensor of the callback 'prompt_embeds' is unknown"):
        pipe(**given, callback_on_step_end=callback, callback_on_step_end_tensor_inputs=["prompt_embeds"])


@pytest.mark.parametrize("windows", ["overlapping", "shifted"])
def test_latents_that_the_callback_gives_back_take_their_place(pipe, given, windows):
    def callback(pipeline, step, timestep, tensors):
        if step == pipeline.num_timesteps - 1:
            return {"latents": torch.zeros_like(tensors["latents"])}
        return None

    told = {**given, "windows": windows, "callback_on_step_end": callback}
    latents = pipe(**told, output_type="latent").frames
    assert latents.shape == (FRAMES, 192, 8, 8) and not latents[:6].any()
    with pytest.raises(InputError, match="gave back latents of"):
        pipe(**given, callback_on_step_end=lambda *_: {"latents": torch.zeros(3)})
    with pytest.raises(InputError, match="gave back a list of 1; give the dictionary, or None"):
        pipe(**given, callback_on_step_end=lambda *_: [1])


@pytest.mark.parametrize("windows, count", [("overlapping", 6), ("shifted", 10)])
def test_interrupt_ends_a_call_with_what_there_is(pipe, given, made, windows, count):
    """The latents of the step at which it was stopped; the next call runs to its end."""
    kept, steps = {}, []

    def stop(pipeline, step, timestep, tensors):
        steps.append(step)
        kept.setdefault(step, []).append(tensors["latents"])
        pipeline._interrupt = len(steps) == stop.after
        return tensors

    told = {**given, "windows": windows, "callback_on_step_end": stop, "audio": made / "speech.wav"}
    stop.after = 1 if windows == "overlapping" else WINDOWS
    out = pipe(**told, output_type="latent")
    assert pipe.interrupt and steps == [0] * stop.after and len(out.frames) == count
    assert torch.equal(out.frames[:6], kept[0][0][0]) or windows == "shifted"
    assert out.sound.duration == count / out.fps
    if windows == "shifted":  # a step that is stopped on its way is left out: no frame is ahead of another
        steps.clear()
        stop.after = WINDOWS + 1
        assert torch.equal(pipe(**told, output_type="latent").frames, out.frames) and steps == [0, 0, 1]
    assert len(pipe(**given).frames) == FRAMES and not pipe.interrupt


def test_the_bar_is_diffusers_and_can_be_hidden(pipe, given, monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr", shown)
    pipe.set_progress_bar_config(disable=False, ncols=60)
    pipe(**given)
    pipe.set_progress_bar_config(disable=True)
    assert f"{STEPS * WINDOWS}/{STEPS * WINDOWS}" in shown.getvalue()
    length = len(shown.getvalue())
    pipe(**given)
    assert len(shown.getvalue()) == length


def test_another_scheduler_is_refused(pipe):
    with pytest.raises(InputError, match="a call chooses its own, as sampler='dpm2'"):
        pipe.scheduler = EDMEulerScheduler()
    with pytest.raises(InputError, match="made by from_pretrained, or of a TalkingHeadModel"):
        TalkingHeadPipeline.from_config(pipe.config)
    assert TalkingHeadPipeline.download("tiny").name == "tiny"


@pytest.mark.slow
@pytest.mark.parametrize("page, count", [("docs/diffusers.md", 2), ("README.md", 1)])
def test_the_pages_examples_run(page, count, made, tmp_path, monkeypatch):
    for name in ("face.png", "driver.mp4"):
        (tmp_path / name).symlink_to(made / name)
    sound_file(tmp_path / "speech.wav", np.tile(read_sound(made / "speech.wav").samples, 2))  # 1.6 s
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", (PAGE.parents[1] / page).read_text(), re.DOTALL)
    assert len(examples) == count
    for example in examples:
        exec(compile(example, page, "exec"), {})
    assert page == "README.md" or len(list(read_frames(tmp_path / "clip.mp4"))) == 10
