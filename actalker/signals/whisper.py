"""Encoder of speech on the hidden states of a frozen Whisper, as in ACTalker.

Letters: b batch, f frames, n tokens a frame, d width. A step is 20 ms; state j covers 20 j to 20 j + 20 ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from .audible import RATE, audible
from .audio import MelFeatures, SpeechFeatures, SpeechReader, first_steps
from .signal import repeat_null
from .standardize import Standardize

if TYPE_CHECKING:  # transformers is imported when Whisper is loaded
    from transformers import WhisperFeatureExtractor
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

STEP = RATE // 50  # samples in one step
SPAN = 1500  # states that Whisper computes at once (30 s)
EDGE = 50  # states (1 s) at either end of a later span that serve as context only


@dataclass(frozen=True)
class WhisperConfig:
    """Settings of a Whisper, and of `WhisperAudio`.

    A frame's features are `window` steps of `states` hidden states each.
    """

    folder: str = "openai/whisper-tiny"  # folder or hub id; frozen, not stored with the model
    states: int = 5  # hidden states of all layers and of the input; whisper-tiny has 4 layers
    channels: int = 384  # of one state
    window: int = 10  # steps (200 ms) around a frame, as in ACTalker's released code
    before: int = 5  # steps of the window before the frame; 4 in the released code
    tokens: int = 4  # n tokens a frame; 32 in the released code, for a 1.5 G model
    hidden: int = 256  # of the projection; 1024 in the released code
    width: int = 64  # d of the tokens


class WhisperFeatures:
    """`SpeechFeatures` of a frozen Whisper: (f, window, states, channels) hidden states around each frame."""

    def __init__(self, config: WhisperConfig) -> None:
        """Keep the settings; Whisper is loaded when the first sound is read."""
        self.config = config
        self._whisper: tuple[WhisperFeatureExtractor, WhisperEncoder] | None = None

    @property
    def form(self) -> tuple[int, ...]:
        """Shape of one frame's features."""
        return (self.config.window, self.config.states, self.config.channels)

    def silence(self, frames: int) -> np.ndarray:
        """Return the features of silence, zeros."""
        return np.zeros((frames, *self.form), np.float32)

    def reader(self, mono: np.ndarray, fps: Fraction) -> SpeechReader:
        """Return the reader of a sound (n,) at 16 kHz, which may be a memmap.

        The window of frame k begins `before` steps before k / fps seconds, to the nearest step; features are
        zeros outside the sound. A long sound is encoded in spans of 30 s on a fixed grid, so that a frame's
        features do not depend on the range that it is read in; the last two spans are cached.

        Raises: InputError, when it is read, if Whisper cannot be loaded.
        """
        window, length, stride = self.config.window, -(-len(mono) // STEP), SPAN - 2 * EDGE

        @lru_cache(maxsize=2)
        def encoded(first: int) -> np.ndarray:
            """Return the states of the span that begins at this step."""
            return self._encode(audible(mono, first * STEP, min((first + SPAN) * STEP, len(mono))))

        def read(frames: int, start: int = 0) -> np.ndarray:
            """Return the features of frames start .. start + frames - 1, float32."""
            if frames < 1 or start < 0:
                raise InputError(f"frames {start} to {start + frames}: ask for at least one, from 0 on")
            first = first_steps(fps, frames, start, RATE // STEP, Fraction(-self.config.before))
            low, high = int(first[0]), int(first[-1]) + window
            states = np.zeros((high - low, *self.form[1:]), dtype=np.float32)
            for k in range(max(low, 0) // stride, -(-min(high, length) // stride)):
                origin = max(k * stride - EDGE, 0)
                a, b = max(k * stride, low), min((k + 1) * stride, high, length)
                states[a - low : b - low] = encoded(origin)[a - origin : b - origin]
            return states[(first - low)[:, None] + np.arange(window)]

        return read

    @torch.no_grad()
    def _encode(self, samples: np.ndarray) -> np.ndarray:
        """Return all states of up to 30 s of sound, (SPAN, states, channels)."""
        extract, encoder = self._whisper = self._whisper or _load(self.config)
        mel = extract(np.asarray(samples, dtype=np.float32), sampling_rate=RATE, return_tensors="pt")
        states = encoder(mel.input_features, output_hidden_states=True).hidden_states
        return torch.stack(states, dim=2)[0].float().numpy()


class WhisperAudio(nn.Module):
    """Encoder of a frozen Whisper's hidden states (`WhisperFeatures`): three linear layers."""

    name = "audio"

    def __init__(self, config: WhisperConfig) -> None:
        """Make an encoder with new weights; Whisper itself is not part of them."""
        super().__init__()
        self.config = config
        self.source = WhisperFeatures(config)  # no nn.Module, so that Whisper is not saved with the model
        size = config.window * config.states * config.channels
        self.net = nn.Sequential(
            nn.Linear(size, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.tokens * config.width),
        )
        self.norm = nn.Sequential(nn.LayerNorm(config.width), Standardize(config.tokens, config.width))
        self.null = nn.Parameter(0.02 * torch.randn(config.tokens, config.width))

    def forward(self, features: Tensor) -> Tensor:
        """Encode states (b, f, window, states, channels) to tokens (b, f, n, d)."""
        z = self.net(features.flatten(2))  # (b, f, n·d)
        return self.norm(z.unflatten(-1, (self.config.tokens, self.config.width)))

    def absent(self, b: int, f: int) -> Tensor:
        """Return the tokens (b, f, n, d) of a clip without sound."""
        return repeat_null(self.null, b, f)


def speech_features(whisper: WhisperConfig | None) -> SpeechFeatures:
    """Return the features of speech in a data set: log-mel windows, or the hidden states of a Whisper."""
    return MelFeatures() if whisper is None else WhisperFeatures(whisper)


def _load(config: WhisperConfig) -> tuple[WhisperFeatureExtractor, WhisperEncoder]:
    """Load the feature extractor and the frozen encoder of a folder or hub id, from safetensors only."""
    from transformers import WhisperFeatureExtractor, WhisperModel

    try:
        extract = WhisperFeatureExtractor.from_pretrained(config.folder)
        encoder = WhisperModel.from_pretrained(config.folder, use_safetensors=True).encoder
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:160]
        raise InputError(
            f"{config.folder}: no Whisper model there ({reason}); give a folder with "
            "config.json, preprocessor_config.json and model.safetensors"
        ) from None
    states, channels = encoder.config.encoder_layers + 1, encoder.config.d_model
    if (states, channels) != (config.states, config.channels):
        raise InputError(
            f"{config.folder}: {states} states of {channels} channels, the config says "
            f"{config.states} of {config.channels}; set states: {states}, channels: {channels}"
        )
    return extract, encoder.eval().requires_grad_(False)
