"""Pictures, sound and video: files to arrays and back."""

from .image import read_image, write_png
from .sound import Sound, read_sound
from .video import VideoInfo, probe, read_frames
from .writer import VideoWriter

__all__ = [
    "Sound",
    "VideoInfo",
    "VideoWriter",
    "probe",
    "read_frames",
    "read_image",
    "read_sound",
    "write_png",
]
