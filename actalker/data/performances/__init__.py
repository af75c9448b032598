"""Performances: what a face does over time, as numbers (`heads.face_map`), without pictures."""
