"""Training data: preparation of real clips, data sets that read them, and synthetic clips and speech."""
