"""Pictures, sound and video: files to arrays and back."""

from ..extras import late

_PUBLIC = {
    "Sound": "sound",
    "VideoInfo": "video",
    "VideoWriter": "writer",
    "probe": "video",
    "read_frames": "video",
    "read_image": "image",
    "read_sound": "sound",
    "write_png": "image",
}
__all__ = [*_PUBLIC]
__getattr__ = late(__name__, _PUBLIC)  # so that pictures are read without importing PyAV
