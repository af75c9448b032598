"""The pipeline: files in, video out."""

from ..extras import late

_PUBLIC = {
    "TalkingHeadOutput": "output.result",
    "TalkingHeadPipeline": "talking_head",
}
__all__ = [*_PUBLIC]
__getattr__ = late(__name__, _PUBLIC)
