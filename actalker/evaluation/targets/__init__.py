"""Acceptance targets for the model that ships, measured on the frames that it generates.

They cover lip sync, following a driver video, independence of the signals, and liveliness of a face that no
driver moves.
"""
