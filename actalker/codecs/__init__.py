"""Pixels to latents and back."""

from .autoencoder import TemporalAutoencoder
from .codec import Codec
from .unshuffle import PixelUnshuffle

CODECS = {"PixelUnshuffle": PixelUnshuffle, "TemporalAutoencoder": TemporalAutoencoder}

__all__ = ["CODECS", "Codec", "PixelUnshuffle", "TemporalAutoencoder"]
