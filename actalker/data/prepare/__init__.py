"""From what users have to shards: read a source, take every clip through the stages, write what is good."""
