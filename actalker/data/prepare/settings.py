"""Every setting that a clip's result depends on, in one place that is imported in no time."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ProbeLimits:
    """sound: whether clips without a sound track are rejected (`required`) or kept (`optional`)."""

    sound: str = "required"
    most_pixels: int = 4096 * 2304  # of a frame: larger ones cost more than they show


@dataclass(frozen=True)
class CutConfig:
    """grow: an annotated box gains this share of its size on every side, as in CelebV-HQ's own script."""

    grow: float = 0.02


@dataclass(frozen=True)
class CutLimits:
    """How long a clip may be, seconds."""

    shortest: float = 2.0
    longest: float = 120.0


@dataclass(frozen=True)
class ShotsConfig:
    """threshold: of PySceneDetect's content detector, mean change in hue, saturation and light, 0 to 255."""

    threshold: float = 27.0


@dataclass(frozen=True)
class ShotsLimits:
    """most: cuts inside a clip."""

    most: int = 0


@dataclass(frozen=True)
class FinderConfig:
    """Who finds faces; a model file counts by its content (`model_hash`), not by its path."""

    finder: str = "auto"
    model: str | None = field(default=None, metadata={"hashed": False})
    model_hash: str | None = None


@dataclass(frozen=True)
class TrackConfig:
    """fps: how many frames a second are looked at. margin: side of the square over the canonical crop's."""

    fps: str = "5"
    margin: float = 1.25


@dataclass(frozen=True)
class TrackLimits:
    """What a clip must show; heights in pixels of the source, angles in degrees."""

    face_share: float = 0.95  # of the frames looked at, in which the face is found: the rest is occlusion
    others_share: float = 0.1  # of the frames, in which there may be other faces
    face_height: float = 160.0
    yaw: float = 45.0  # 95th percentile, either side


@dataclass(frozen=True)
class RenderConfig:
    """size: side of the clip in pixels. fps: rate of the clip, a fraction as text."""

    size: int = 512
    fps: str = "25"


@dataclass(frozen=True)
class QualityLimits:
    """sharpness: variance of the Laplacian of grey (0 to 255) in the face, at the clip's size.

    brightness: mean grey of the face, in [0, 1]. level: of the speech, dB of full scale.
    """

    sharpness: float = 8.0
    darkest: float = 0.08
    brightest: float = 0.95
    level: float = -50.0


@dataclass(frozen=True)
class LatentsConfig:
    """model: a model folder whose codec is used; it counts by its content (`model_hash`). device: torch's."""

    model: str = field(default="", metadata={"hashed": False})
    model_hash: str = ""
    device: str = field(default="cpu", metadata={"hashed": False})
    chunk: int = 8


@dataclass(frozen=True)
class SyncConfig:
    """model: SyncNet's weight file; it counts by its content (`model_hash`).

    repair: whether sound that is early or late is shifted. judged: whether `SyncLimits` reject clips.
    """

    model: str = field(default="", metadata={"hashed": False})
    model_hash: str = ""
    repair: bool = False
    judged: bool = field(default=True, metadata={"hashed": False})


@dataclass(frozen=True)
class SyncLimits:
    """confidence: Sync-C. offset: frames between lips and sound, either way, after a repair. Judged
    with a SyncNet file alone.
    """

    confidence: float = 3.0
    offset: int = 1


@dataclass(frozen=True)
class IdentityConfig:
    """model: ArcFace's weight file; it counts by its content (`model_hash`)."""

    model: str = field(default="", metadata={"hashed": False})
    model_hash: str = ""


@dataclass(frozen=True)
class PeopleLimits:
    """similarity: cosine of ArcFace's vectors from which on two clips show one person, 0 to 1."""

    similarity: float = 0.5


@dataclass(frozen=True)
class MotionConfig:
    """model: MediaPipe's face_landmarker.task; it counts by its content (`model_hash`). fps: of the clips."""

    model: str = field(default="", metadata={"hashed": False})
    model_hash: str = ""
    fps: str = "25"


@dataclass(frozen=True)
class MotionLimits:
    """How well a head must be followed, where its motion is asked for."""

    seen: float = 0.9  # share of the frames
    sure: float = 0.3  # the middle frame's confidence, 0 to 1


@dataclass(frozen=True)
class PixelsConfig:
    """size: side of the decoded frames that go into the shards; 0: none do."""

    size: int = 0


@dataclass(frozen=True)
class PrepareConfig:
    """Every setting that a clip's result depends on."""

    probe: ProbeLimits = field(default_factory=ProbeLimits)
    cut: CutConfig = field(default_factory=CutConfig)
    cut_limits: CutLimits = field(default_factory=CutLimits)
    shots: ShotsConfig = field(default_factory=ShotsConfig)
    shots_limits: ShotsLimits = field(default_factory=ShotsLimits)
    track: TrackConfig = field(default_factory=TrackConfig)
    track_limits: TrackLimits = field(default_factory=TrackLimits)
    render: RenderConfig = field(default_factory=RenderConfig)
    quality: QualityLimits = field(default_factory=QualityLimits)
    look: FinderConfig = field(default_factory=FinderConfig)
    sync: SyncConfig | None = None
    sync_limits: SyncLimits = field(default_factory=SyncLimits)
    identity: IdentityConfig | None = None
    people: PeopleLimits = field(default_factory=PeopleLimits)
    pixels: PixelsConfig = field(default_factory=PixelsConfig)
    latents: LatentsConfig | None = None
    motion: MotionConfig | None = None
    motion_limits: MotionLimits = field(default_factory=MotionLimits)
