"""Codecs: latents of pictures or of motion, and how frames are made of them."""

from .autoencoder import TemporalAutoencoder
from .codec import Bound, Codec, Sitter
from .face_motion import FaceMotion
from .unshuffle import PixelUnshuffle

CODECS = {
    "PixelUnshuffle": PixelUnshuffle,
    "TemporalAutoencoder": TemporalAutoencoder,
    "FaceMotion": FaceMotion,
}

__all__ = [
    "CODECS",
    "Bound",
    "Codec",
    "FaceMotion",
    "PixelUnshuffle",
    "Sitter",
    "TemporalAutoencoder",
]
