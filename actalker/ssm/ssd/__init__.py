"""The scan with one decay a head (Mamba-2's state-space duality)."""
