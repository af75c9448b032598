"""Driving signals: raw input at its own rate to tokens at the video's frame times."""

from .audio import AudioConfig, AudioEncoder, loudness_reference
from .expression import ExpressionConfig, ExpressionEncoder, augment
from .identity import IdentityConfig, IdentityEncoder
from .script import Phase, Script, parse_script
from .signal import SIGNALS, Signal, SignalEncoder
from .text import TextConfig, TextEncoder, TextInput
from .whisper import WhisperAudio, WhisperConfig, speech_features

__all__ = [
    "SIGNALS",
    "AudioConfig",
    "AudioEncoder",
    "ExpressionConfig",
    "ExpressionEncoder",
    "IdentityConfig",
    "IdentityEncoder",
    "Phase",
    "Script",
    "Signal",
    "SignalEncoder",
    "TextConfig",
    "TextEncoder",
    "TextInput",
    "WhisperAudio",
    "WhisperConfig",
    "augment",
    "loudness_reference",
    "parse_script",
    "speech_features",
]
