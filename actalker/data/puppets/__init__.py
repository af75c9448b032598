"""Puppets: drawn heads whose portraits, motion, voices and scripts are made from a seed."""
