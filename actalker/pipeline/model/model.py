"""A talking-head model: its settings, its encoders, denoiser and codec, and how inputs become conditions.

Letters: b batch, f frames, H W picture size, n tokens a frame, d width, K phases, L bytes of a phrase.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch
from diffusers import ModelMixin
from torch import Tensor, nn

from ...backbones import DENOISERS
from ...backbones.base import SCALARS
from ...backbones.older import current, without_gone
from ...codecs import CODECS
from ...control.conditions import Conditions
from ...control.latent_frames import over_latent_frames
from ...control.scanning import Scanning
from ...diffusion.noise import NoiseConfig
from ...diffusion.precondition import Precondition, PreconditionConfig
from ...errors import InputError, one_of
from ...media.image import Size, height_width
from ...signals.encoders import NONE, make_encoder
from ...signals.offloaded import weights_here
from ...signals.signal import IDENTITY, SIGNALS

Settings: TypeAlias = dict[str, Any]
"""Arguments of a part's class, which checks them."""


@dataclass(frozen=True)
class SamplingConfig(NoiseConfig):
    """How a model is sampled unless the user sets other options."""

    sampler: str = "euler"
    """A name in `diffusion.SAMPLERS`."""

    steps: int = 10
    """Denoiser calls a window."""

    windows: str = "overlapping"
    """How long clips are cut: overlapping or shifted."""

    shift: int = 7
    """Frames by which shifted windows move on at every step."""

    guidance: dict[str, float] = field(default_factory=dict)
    """Guidance scales of signals, and of `identity`, unless the user sets others; 1 is none."""

    mask_drop: float = 1.0
    """Chance that a token outside a signal's region is left out of its scan, as in training."""

    regions: bool = True
    """Whether each signal acts in its region; if not, each acts on the whole face, in training too, as in
    systems without regions (a baseline)."""

    hold: bool = False
    """Whether frames show the portrait itself where no open signal can move the picture: everywhere while all
    gates are closed, outside the face while only speech is open."""


@dataclass(frozen=True)
class ModelConfig:
    """All settings of a model, without its weights; `config.json` of a model folder.

    Raises: InputError for settings that exclude each other, and signals that are not in the table.
    """

    size: Size = 128
    """Height and width of the picture, pixels; a plain number is the side of a square."""

    fps: int = 25
    """Frames a second that the model was trained at."""

    window: int = 14
    """Latent frames denoised at once; of most codecs they are frames."""

    overlap: int = 4
    """Latent frames that neighbouring windows share."""

    micro: tuple[float, ...] = ()
    """Micro-conditions of sampling: frames a second, head motion, expression motion; empty: `fps`, 0, 0."""

    phrases: tuple[tuple[str, ...], ...] = ()
    """Actions that a script can ask for, each a tuple of its wordings; empty: the model was not trained on a
    fixed set."""

    denoiser: str = "ControlUNet"
    denoiser_args: Settings = field(default_factory=dict)
    codec: str = "PixelUnshuffle"
    codec_args: Settings = field(default_factory=dict)
    # settings of the encoders: `kind` is a name in the table of signals, such as {kind: whisper}, or none;
    # `class_path` and `init_args` name a user's class, which follows `signals.SignalEncoder`
    audio: Settings = field(default_factory=dict)
    expression: Settings = field(default_factory=dict)
    text: Settings = field(default_factory=dict)
    identity: Settings = field(default_factory=dict)

    signals: dict[str, Settings] = field(default_factory=dict)
    """Settings of the encoders of other signals of the table; the model takes none that is not listed."""

    precondition: PreconditionConfig = field(default_factory=PreconditionConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def as_dict(self) -> Settings:
        """Return the settings as values for JSON."""
        h, w = height_width(self.size)
        return {**asdict(self), "size": h if h == w else [h, w]}

    def __post_init__(self) -> None:
        for each in fields(self):  # `null` in a config, where settings are meant, is none
            if getattr(self, each.name) is None and each.name == "micro":
                object.__setattr__(self, each.name, ())
            elif getattr(self, each.name) is None and each.default_factory is not MISSING:
                object.__setattr__(self, each.name, each.default_factory())
        object.__setattr__(self, "size", height_width(self.size))
        object.__setattr__(self, "denoiser_args", current(self.denoiser_args))
        if not 0 <= self.overlap < self.window or min(height_width(self.size)) < 8 or self.fps < 1:
            raise InputError(
                f"model settings: window {self.window}, overlap {self.overlap}, size {self.size}, "
                f"fps {self.fps}; a window is longer than its overlap, a side at least 8 pixels"
            )
        for name in self.signals:
            if name not in SIGNALS or name in OWN_FIELDS:
                raise InputError(
                    f"model setting signals: {name} is in no table, or has a setting of its own; import what "
                    "adds it to actalker.signals.SIGNALS first, or leave it out"
                )
        if self.sampling.spacing == "flow" and self.precondition.prediction != "flow":
            raise InputError(
                f"model settings: sampling.spacing flow starts from noise alone, which prediction "
                f"{self.precondition.prediction} cannot read; give spacing karras, or prediction flow"
            )

    def encoder(self, signal: str) -> Settings | None:
        """Return the settings of a signal's encoder, or identity's; None where the model has none."""
        settings = self.signals.get(signal) if signal not in OWN_FIELDS else getattr(self, signal)
        return None if settings is None or settings.get("kind") == NONE else settings

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Make the settings from `as_dict`'s values. Raises: InputError for unknown and removed keys."""
        known = {f.name for f in fields(cls)}
        for key in values:
            one_of(key, known, "model setting")
        plain = {**values, "micro": tuple(values.get("micro", ()))}
        plain["phrases"] = tuple(tuple(wordings) for wordings in values.get("phrases", ()))
        try:
            plain["precondition"] = PreconditionConfig(**without_gone(plain.get("precondition", {})))
            plain["sampling"] = SamplingConfig(**plain.get("sampling", {}))
            return cls(**plain)
        except TypeError as error:
            raise InputError(f"model settings: {error}; the folder is of another version") from None


OWN_FIELDS = {f.name for f in fields(ModelConfig)} & {*SIGNALS, IDENTITY}


class TalkingHeadModel(ModelMixin):
    """Encoders, network and codec, built from a `ModelConfig`; the pipeline and the trainer use it.

    network: the denoising network, and denoise: the clean estimate from it (`Precondition`).
    """

    to = nn.Module.to  # ModelMixin's warns of every cast

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        codec = CODECS[one_of(config.codec, CODECS, "codec")]
        self.codec = codec(**config.codec_args)
        kind = DENOISERS[one_of(config.denoiser, DENOISERS, "denoiser")]
        settings = {name: config.encoder(name) for name in (*SIGNALS, IDENTITY)}
        taken = {name: each for name, each in settings.items() if each is not None}
        signals = tuple(name for name in taken if name != IDENTITY)
        takes_signals = "signals" in inspect.signature(kind).parameters
        self.network = kind(**({"signals": signals} if takes_signals else {}) | config.denoiser_args)
        self.encoders = nn.ModuleDict({name: make_encoder(name, each) for name, each in taken.items()})
        self.denoise = Precondition(self.network, config.precondition)

    @property
    def device(self) -> torch.device:
        """The device that the model runs on; weights may wait elsewhere (accelerate's offloading)."""
        for part in self.encoders.modules():
            place = getattr(getattr(part, "_hf_hook", None), "execution_device", None)
            if place is not None:
                return torch.device(place)
        tensors = chain(self.encoders.parameters(), self.encoders.buffers(), self.codec.buffers())
        return next(tensors, torch.empty(0)).device  # a model may have no weights

    @property
    def signals(self) -> tuple[str, ...]:
        """The signals that the model takes, in the order of the table."""
        return tuple(name for name in SIGNALS if name in self.encoders)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of weights and features."""
        return self.network.dtype

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        torch_dtype: torch.dtype | None = None,
        variant: str | None = None,
        **diffusers: object,
    ) -> TalkingHeadModel:
        """Read a model folder, in float32 unless torch_dtype is set.

        `DiffusionPipeline.from_pretrained` reads a pipeline's component by this method; the other options
        that it passes are ignored.
        """
        from .folder import load_model

        return load_model(folder, "cpu", torch_dtype or torch.float32, variant)

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Write a model folder; options as of `folder.save_model`."""
        from .folder import save_model

        save_model(self, Path(folder), **options)

    def tokens(self, arrays: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Encode signals: signal -> tokens (b, f, n, d).

        arrays: signal -> the arguments of its encoder's `forward`, in their order.
        """
        return {name: self.encoders[name](*each.values()) for name, each in arrays.items()}

    def conditions(
        self,
        portrait: Tensor | None,
        tokens: Mapping[str, Tensor],
        regions: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
        gates: Mapping[str, Tensor],
        micro: Tensor,
        head: Tensor | None = None,
        reference: Tensor | None = None,
    ) -> Conditions:
        """Make the denoiser's conditions.

        Args:
            portrait: (b, 3, H, W) in [-1, 1]; None where neither codec nor identity reads pictures.
            tokens: signal -> (b, f, n, d).
            regions: signal -> (b, f, H, W) in [0, 1], where it acts.
            masks: `face` and `mouth` -> (b, f, H, W), where they are; no signal's region changes them.
            gates: signal -> (b, f) in [0, 1].
            micro: (b, 3) frames a second, head motion bucket, expression motion bucket.
            head: (b, 3, H, W) in [-1, 1], the face in its canonical square; None: the portrait is that.
            reference: (b, c, h, w), the network's reference of the portrait; None: the portrait's latent.
        """
        if reference is None:
            assert portrait is not None
            reference = self.codec.encode(portrait[:, None])[:, 0]
        if not self.config.sampling.regions:
            regions = {name: masks["face"] for name in regions}
        who = {}
        if IDENTITY in self.encoders:
            seen = portrait if head is None else head
            who = {IDENTITY: self.encoders[IDENTITY](reference if self.reads_reference() else seen)}
        return Conditions(
            **who,
            tokens=tokens,
            regions=regions,
            gates={name: gates[name] for name in tokens},
            references={"portrait": reference},
            maps=masks,
            scalars=dict(zip(SCALARS, micro.unbind(1), strict=True)),
            null=self.null(),
            scanning=Scanning(self.config.sampling.mask_drop, torch.Generator().manual_seed(0)),
        )

    def over_latent_frames(self, conditions: Conditions, first: int = 0) -> Conditions:
        """Turn conditions of video frames into those of latent frames, as the network takes them.

        first: number of the latent frame whose first video frame is the first of the conditions.
        """
        codec, start = self.codec, self.codec.frames_of(first)
        stop = start + conditions.length
        numbers = range(first, codec.latents_of(stop) + 1)
        edges = [min(codec.frames_of(number), stop) - start for number in numbers]
        return over_latent_frames(conditions, edges, codec.stride[0])

    def reads_reference(self) -> bool:
        """Whether identity is read from the reference latent, not from a picture."""
        return IDENTITY in self.encoders and getattr(self.encoders[IDENTITY], "reads", "") == "reference"

    def null(self) -> dict[str, Tensor]:
        """Return the null tokens (n, d) that guidance puts in place of a dropped signal, or of identity.

        Signals that are not listed are dropped by closing their gate.
        """
        dropped = [name for name, part in self.encoders.items() if getattr(part, "dropped", False)]
        who = [IDENTITY] if IDENTITY in self.encoders else []
        return {name: _null(self.encoders[name]) for name in (*dropped, *who)}

    def micro_conditions(self, b: int) -> Tensor:
        """Return the micro-conditions of sampling (b, 3): frames a second, head and expression motion."""
        values = self.config.micro or (float(self.config.fps), 0.0, 0.0)
        return torch.tensor(values, device=self.device).expand(b, -1)

    def parts(self) -> Iterable[tuple[str, nn.Module]]:
        """Yield the parts that a model folder stores, each with its name."""
        assert isinstance(self.network, nn.Module)
        yield "denoiser", self.network
        yield "codec", self.codec
        yield "encoders", self.encoders


def _null(encoder: nn.Module) -> Tensor:
    """An encoder's `null`, which is read without a `forward`."""
    with weights_here(encoder):
        return cast(Tensor, encoder.null)
