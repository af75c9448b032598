"""The model: its parts, its folder and weights, and how it fits into memory."""

from ...extras import late

# model_index.json names this package to diffusers, which looks here for the class and for how its kind is
# loaded; late, since a model is searched for without torch
__getattr__ = late(__name__, {"TalkingHeadModel": "model", "ModelConfig": "model", "ModelMixin": "model"})
