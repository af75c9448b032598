"""Being written."""
read_mask = region_for = None
