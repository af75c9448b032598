"""The preparation of real clips: reads a source, takes clips through stages, writes shards of good ones."""
