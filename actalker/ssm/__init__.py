"""Selective state-space scans and the blocks around them."""

from .selective.scan import BACKENDS, ordered_scan, selective_scan
from .ssd.scan import SSD_BACKENDS, ssd_scan

__all__ = ["BACKENDS", "SSD_BACKENDS", "ordered_scan", "selective_scan", "ssd_scan"]
