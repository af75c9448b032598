"""A head in three dimensions: fitted to a portrait, moved, and drawn back into it."""
