"""The class by which diffusers opens this folder, where trust_remote_code=True."""

from actalker.pipeline import TalkingHeadPipeline

__all__ = ["TalkingHeadPipeline"]
