"""Selective state-space scans and the block around them."""

from .scan import BACKENDS, ordered_scan, selective_scan, streaming_scan

__all__ = ["BACKENDS", "ordered_scan", "selective_scan", "streaming_scan"]
