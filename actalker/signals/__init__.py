"""Driving signals: encoders from input at its own rate to condition tokens at the video's frame times."""

from ..extras import late

_PUBLIC = {
    "AudioConfig": "audio",
    "AudioEncoder": "audio",
    "ExpressionConfig": "expression",
    "ExpressionEncoder": "expression",
    "IdentityConfig": "identity",
    "IdentityEncoder": "identity",
    "Phase": "script",
    "SIGNALS": "signal",
    "Script": "script",
    "Signal": "signal",
    "SignalEncoder": "signal",
    "TextConfig": "text",
    "TextEncoder": "text",
    "TextInput": "text",
    "WhisperAudio": "whisper",
    "WhisperConfig": "whisper",
    "augment": "expression",
    "loudness_reference": "audio",
    "parse_script": "script",
    "speech_features": "whisper",
}
__all__ = [*_PUBLIC]
__getattr__ = late(__name__, _PUBLIC)
