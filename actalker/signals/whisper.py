"""Speech to tokens on a Whisper encoder: the same protocol as `audio.AudioEncoder`.

Letters: b batch, f frames, n tokens a frame, d width. A step is 20 ms; state j: 20 j to 20 j + 20 ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from .audible import RATE, audible
from .audio import MelFeatures, SpeechFeatures, SpeechReader, first_steps
from .signal import repeat_null
from .standardize import Standardize

STEP = RATE // 50  # samples of one state
SPAN = 1500  # states Whisper computes at once (30 s)
EDGE = 50  # states (1 s) at either end of a later span that only serve as context


@dataclass(frozen=True)
class WhisperConfig:
    folder: str = "openai/whisper-tiny"  # folder or hub id; frozen, not stored with the model
    states: int = 5  # the hidden states of all layers: whisper-tiny has 4 layers + its input
    channels: int = 384  # of one state
    window: int = 10  # steps (200 ms) around a frame, as in ACTalker's released code
    before: int = 5  # of them before the frame's own; 4 in the released code
    tokens: int = 4  # n tokens a frame; 32 in the released code, for a 1.5 G model
    hidden: int = 256  # of the projection; 1024 in the released code
    width: int = 64  # d of the tokens


class WhisperFeatures:
    """A frozen Whisper's hidden states around each frame, (f, window, states, channels)."""

    def __init__(self, config: WhisperConfig) -> None:
        self.config = config
        self._whisper: tuple[Any, Any] | None = None  # loaded when first needed

    @property
    def form(self) -> tuple[int, ...]:
        """Shape of one frame's features."""
        return (self.config.window, self.config.states, self.config.channels)

    def silence(self, frames: int) -> np.ndarray:
        """Features where there is no sound."""
        return np.zeros((frames, *self.form), np.float32)

    def reader(self, mono: np.ndarray, fps: Fraction) -> SpeechReader:
        """Features of frames start .. start + frames of a sound, float32 (f, window, states, channels).

        mono: (n,) at 16 kHz, maybe a memmap; window k begins `before` steps before (start + k) / fps
        seconds, to the nearest step; zeros outside the sound. Long sound is read in spans of 30 s on a fixed
        grid, so that a frame's states do not depend on the range it is read in; the last spans are kept.
        Raises InputError if Whisper cannot be loaded.
        """
        window, length, kept = self.config.window, -(-len(mono) // STEP), SPAN - 2 * EDGE

        @lru_cache(maxsize=2)
        def encoded(begin: int) -> np.ndarray:
            return self._encode(audible(mono, begin * STEP, min((begin + SPAN) * STEP, len(mono))))

        def read(frames: int, start: int = 0) -> np.ndarray:
            if frames < 1 or start < 0:
                raise InputError(f"frames {start} to {start + frames}: ask for at least one, from 0 on")
            first = first_steps(fps, frames, start, RATE // STEP, Fraction(-self.config.before))
            low, high = int(first[0]), int(first[-1]) + window
            states = np.zeros((high - low, *self.form[1:]), dtype=np.float32)
            for span in range(max(low, 0) // kept, -(-min(high, length) // kept)):
                begin = max(span * kept - EDGE, 0)
                a, b = max(span * kept, low), min((span + 1) * kept, high, length)
                states[a - low : b - low] = encoded(begin)[a - begin : b - begin]
            return states[(first - low)[:, None] + np.arange(window)]

        return read

    @torch.no_grad()
    def _encode(self, samples: np.ndarray) -> np.ndarray:
        """All states of up to 30 s of sound, (SPAN, states, channels)."""
        extract, encoder = self._whisper = self._whisper or _load(self.config)
        mel = extract(np.asarray(samples, dtype=np.float32), sampling_rate=RATE, return_tensors="pt")
        states = encoder(mel.input_features, output_hidden_states=True).hidden_states
        return torch.stack(states, dim=2)[0].float().numpy()


class WhisperAudio(nn.Module):
    """Whisper's hidden states around each frame (b, f, window, states, channels) to tokens (b, f, n, d)."""

    name = "audio"

    def __init__(self, config: WhisperConfig):
        super().__init__()
        self.config = config
        self.source = WhisperFeatures(config)  # no module: Whisper's weights are no part of ours
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
        z = self.net(features.flatten(2))  # (b, f, n·d)
        return self.norm(z.unflatten(-1, (self.config.tokens, self.config.width)))

    def absent(self, b: int, f: int) -> Tensor:
        """Tokens of a clip without sound, (b, f, n, d)."""
        return repeat_null(self.null, b, f)


def speech_features(whisper: WhisperConfig | None) -> SpeechFeatures:
    """What a data set makes of speech: log-mel windows, or a Whisper's hidden states."""
    return MelFeatures() if whisper is None else WhisperFeatures(whisper)


def _load(config: WhisperConfig) -> tuple[Any, Any]:
    """(feature extractor, frozen encoder) of a folder or hub id, from safetensors only."""
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
