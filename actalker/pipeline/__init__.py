"""The pipeline: files in, video out."""

from .talking_head import TalkingHeadOutput, TalkingHeadPipeline

__all__ = ["TalkingHeadOutput", "TalkingHeadPipeline"]
