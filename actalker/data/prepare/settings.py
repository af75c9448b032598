"""Every setting that a clip's result depends on, in one module that imports nothing slow."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ProbeLimits:
    """Which videos are accepted.

    sound: whether clips without a sound track are rejected (`required`) or accepted (`optional`).
    """

    sound: str = "required"
    most_pixels: int = 4096 * 2304  # of a frame: larger ones cost more than they show


@dataclass(frozen=True)
class CutConfig:
    """How a clip is cut from its video.

    grow: share of its size that an annotated box gains on every side, as in CelebV-HQ's own script.
    """

    grow: float = 0.02


@dataclass(frozen=True)
class CutLimits:
    """How long a clip may be, seconds."""

    shortest: float = 2.0
    longest: float = 120.0


@dataclass(frozen=True)
class ShotsConfig:
    """How cuts between shots are detected.

    threshold: of PySceneDetect's content detector, the mean change in hue, saturation and light, 0 to 255.
    """

    threshold: float = 27.0


@dataclass(frozen=True)
class ShotsLimits:
    """How many cuts a clip may have: `most`."""

    most: int = 0


@dataclass(frozen=True)
class FinderConfig:
    """The face finder and its model file; results depend on its content (`model_hash`), not its path."""

    finder: str = "auto"
    model: str | None = field(default=None, metadata={"hashed": False})
    model_hash: str | None = None


@dataclass(frozen=True)
class TrackConfig:
    """How a clip's face is found.

    fps: frames a second that are searched. margin: side of the square over that of the canonical crop.
    """

    fps: str = "5"
    margin: float = 1.25


@dataclass(frozen=True)
class TrackLimits:
    """How a clip must show its face; heights in pixels of the source, angles in degrees."""

    face_share: float = 0.95  # of the frames looked at, in which the face is found: the rest is occlusion
    others_share: float = 0.1  # of the frames, in which there may be other faces
    face_height: float = 160.0
    yaw: float = 45.0  # 95th percentile, either side


@dataclass(frozen=True)
class RenderConfig:
    """The form of the prepared clip. size: its side in pixels. fps: its rate, a fraction as text."""

    size: int = 512
    fps: str = "25"


@dataclass(frozen=True)
class QualityLimits:
    """How good a clip's picture and sound must be.

    sharpness: least variance of the Laplacian of grey (0 to 255) in the face, at the clip's size. darkest,
    brightest: bounds of the face's mean grey, in [0, 1]. level: least level of the sound, dB of full scale.
    """

    sharpness: float = 8.0
    darkest: float = 0.08
    brightest: float = 0.95
    level: float = -50.0


@dataclass(frozen=True)
class LatentsConfig:
    """How clips are encoded to latents.

    model: a model folder whose codec is used; results depend on its content (`model_hash`). device: torch's.
    chunk: frames encoded at once.
    """

    model: str = field(default="", metadata={"hashed": False})
    model_hash: str = ""
    device: str = field(default="cpu", metadata={"hashed": False})
    chunk: int = 8


@dataclass(frozen=True)
class SyncConfig:
    """How the synchrony of lips and sound is measured.

    model: SyncNet's weight file; results depend on its content (`model_hash`). repair: whether sound that is
    early or late is shifted. judged: whether `SyncLimits` reject clips.
    """

    model: str = field(default="", metadata={"hashed": False})
    model_hash: str = ""
    repair: bool = False
    judged: bool = field(default=True, metadata={"hashed": False})


@dataclass(frozen=True)
class SyncLimits:
    """How well lips must follow the sound, judged only where SyncNet's weights are given.

    confidence: least Sync-C. offset: most frames between lips and sound, either way, after a repair.
    """

    confidence: float = 3.0
    offset: int = 1


@dataclass(frozen=True)
class IdentityConfig:
    """How faces are told apart.

    model: ArcFace's weight file; results depend on its content (`model_hash`).
    """

    model: str = field(default="", metadata={"hashed": False})
    model_hash: str = ""


@dataclass(frozen=True)
class PeopleLimits:
    """Which clips show one person.

    similarity: the cosine of ArcFace's vectors, 0 to 1, from which on two clips show the same person.
    """

    similarity: float = 0.5


@dataclass(frozen=True)
class MotionConfig:
    """How heads are tracked.

    model: MediaPipe's face_landmarker.task; results depend on its content (`model_hash`). fps: of the clips.
    """

    model: str = field(default="", metadata={"hashed": False})
    model_hash: str = ""
    fps: str = "25"


@dataclass(frozen=True)
class MotionLimits:
    """How well a head must be tracked, where its motion is asked for."""

    seen: float = 0.9  # share of the frames
    sure: float = 0.3  # the middle frame's confidence, 0 to 1


@dataclass(frozen=True)
class PixelsConfig:
    """Decoded frames in the shards. size: their side in pixels; 0: none are stored."""

    size: int = 0


@dataclass(frozen=True)
class PrepareConfig:
    """Every setting that a clip's result depends on, by stage.

    Limits only judge stored results, so a change of them repeats no work.
    """

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
