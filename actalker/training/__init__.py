"""Training: the Lightning module, its strategies, callbacks and command."""
