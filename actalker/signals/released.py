"""The release's projections from features to condition tokens; names of weights are its own.

Letters: b batch, f frames, n tokens a frame, d width, h hidden width.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

STEPS, LAYERS = 10, 5  # of Whisper's encoder: steps a frame, hidden states of whisper-tiny


class AudioProjection(nn.Module):
    """`audio_linear`: Whisper's hidden states (b, f, 10, 5, channels) to tokens (b, f, n, d)."""

    def __init__(self, channels: int = 384, hidden: int = 1024, tokens: int = 32, width: int = 1024) -> None:
        super().__init__()
        self.tokens = tokens
        self.proj1 = nn.Linear(STEPS * LAYERS * channels, hidden)
        self.proj2 = nn.Linear(hidden, hidden)
        self.proj3 = nn.Linear(hidden, tokens * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        z = F.relu(self.proj2(F.relu(self.proj1(features.flatten(2)))))
        return self.norm(self.proj3(z).unflatten(2, (self.tokens, -1)))


class IdentityProjection(nn.Module):
    """`id_proj_model`: a face's vector (..., features) to a token (..., d)."""

    def __init__(self, features: int = 512, hidden: int = 1024, width: int = 1024) -> None:
        super().__init__()
        self.proj1 = nn.Linear(features, hidden)
        self.proj2 = nn.Linear(hidden, hidden)
        self.proj3 = nn.Linear(hidden, width)

    def forward(self, face: Tensor) -> Tensor:
        return self.proj3(F.relu(self.proj2(F.relu(self.proj1(face)))))


class MotionProjection(nn.Module):
    """`vasa_linear`: an expression's vector (..., features) to what stands before the head pose in its
    token."""

    def __init__(self, features: int = 512, width: int = 1018) -> None:
        super().__init__()
        self.proj1 = nn.Linear(features, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, expression: Tensor) -> Tensor:
        return self.norm(self.proj1(expression))
