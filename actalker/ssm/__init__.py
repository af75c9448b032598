"""Selective state-space scans and the block around them."""

from .scan import BACKENDS, selective_scan, streaming_scan

__all__ = ["BACKENDS", "selective_scan", "streaming_scan"]
