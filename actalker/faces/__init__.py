"""Faces in pictures and videos: finders, landmarks, crops."""
