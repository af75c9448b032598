"""Measuring control: what each gate moves, and what it leaves alone."""
