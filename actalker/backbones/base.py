"""What our networks share: diffusers' spatio-temporal UNet, its conventions, and how additions to it begin.

Letters: b batch, f frames, c channels, h w latent size, m identity tokens, d token width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, ClassVar
from uuid import uuid4

import torch
from diffusers import UNetSpatioTemporalConditionModel
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import Tensor

from ..control.attention import DecoupledAttention
from ..control.branch import MaskedBranch
from ..control.conditions import Conditions
from ..control.pass_ import States
from ..errors import InputError
from .attach import checkpointed
from .denoiser import Estimate
from .fresh import base_place, begin_fresh
from .older import current

SCALARS = ("fps", "head_motion", "expression_motion")  # in the order of SVD's added embeddings


class SpatioTemporalNetwork(UNetSpatioTemporalConditionModel):
    """diffusers' UNet with additions that begin fresh where a folder of weights does not hold them.

    `from_pretrained` opens folders of the class itself and of a plain `UNetSpatioTemporalConditionModel`.
    What the latter lacks begins as in a new network, drawn with torch's seed (`torch.initial_seed()`), so
    that the same seed gives the same network; diffusers' log names it. Weights of the base that are missing
    raise InputError.
    """

    ADDITIONS: ClassVar[tuple[str, ...]] = ()
    """How the names of weights begin that the plain UNet does not have."""

    ignore_for_config: ClassVar[list[str]] = ["base"]
    """Arguments that diffusers stores under names of their own."""

    scope_id: str
    """By which hooks know their network; copies share it."""

    def __init__(self, **base: Any) -> None:
        """base: settings of `UNetSpatioTemporalConditionModel`, by name."""
        with base_place():
            super().__init__(**base)
        self.scope_id = uuid4().hex

    @staticmethod
    def _get_init_keys(input_class: type) -> set[str]:
        """diffusers' step that asks for the names of a class's settings: those of the base are among them."""
        base = UNetSpatioTemporalConditionModel
        return base._get_init_keys(input_class) | base._get_init_keys(base)

    @property
    def width(self) -> int:
        """Channels of the features on the finest grid."""
        return self.config.block_out_channels[0]

    def undivided(self) -> list[str]:
        """Classes of modules that read the weights inside them past their `forward`."""
        return [MaskedBranch.__name__]

    def slice_layers(self) -> None:
        """Feed-forward layers run frame by frame."""
        self.enable_forward_chunking(1, 0)

    def control_sites(self) -> list[TransformerSpatioTemporalModel]:
        """The spatio-temporal transformers, in the order of the network: 16 at SVD's size."""
        return [m for m in self.modules() if isinstance(m, TransformerSpatioTemporalModel)]

    def enable_gradient_checkpointing(self, gradient_checkpointing_func: Any = None) -> None:
        """Recompute features in the backward pass; control layers then see the pass's own conditions."""
        super().enable_gradient_checkpointing(gradient_checkpointing_func or checkpointed)

    def forward(  # type: ignore[override]
        self,
        sample: Tensor,
        timestep: Tensor | float,
        conditions: Conditions,
        return_dict: bool = True,
        states: States | None = None,
    ) -> Estimate | tuple[Tensor]:
        """One pass.

        Args:
            sample: (b, f, c, h, w), already scaled; without the reference, which is joined here.
            timestep: (b,) or scalar, c_noise of the noise level.
            conditions: of the same b and f.
            return_dict: False gives a plain tuple of the raw output.
            states: of the scans, `.states` of the pass over the frames before; {} where a clip begins; None:
                the frames are a clip as a whole.
        Raises: InputError for conditions that lack something that the network reads, and for states where
            branches scan in both directions.
        Returns: the raw output, `.sample` or `.output`, and `.states` for the frames to come.
        """
        conditions.check_has(references=("portrait",), maps=self.maps(), scalars=SCALARS)
        estimate = self.estimate(sample, timestep, conditions, states)
        return estimate if return_dict else (estimate.output,)

    def estimate(
        self, sample: Tensor, timestep: Tensor | float, conditions: Conditions, states: States | None = None
    ) -> Estimate:
        """As `forward`."""
        raise NotImplementedError

    def maps(self) -> Sequence[str]:
        """Names of the maps that conditions need; none unless a network says so."""
        return ()

    def base(
        self, sample: Tensor, timestep: Tensor | float, identity: Tensor, scalars: Mapping[str, Tensor]
    ) -> Tensor:
        """The UNet's own pass, (b, f, 2c, h, w) with identity (b, m, d) and `SCALARS`, hooks included."""
        added = torch.stack([scalars[name].to(sample.dtype) for name in SCALARS], dim=1)
        return super().forward(sample, timestep, identity, added, return_dict=False)[0]

    def set_attn_processor(self, processor: Any) -> None:
        """As in diffusers; processors that hold signals' weights must be among the new ones.

        Raises: InputError where they would be dropped.
        """
        self._keep_adapters("set_attn_processor", processor)
        super().set_attn_processor(processor)

    def set_default_attn_processor(self) -> None:
        """As in diffusers. Raises: InputError where signals' weights would be dropped."""
        self._keep_adapters("set_default_attn_processor", None)
        super().set_default_attn_processor()

    def set_use_memory_efficient_attention_xformers(self, valid: bool, attention_op: Any = None) -> None:
        """As in diffusers. Raises: InputError where signals' weights would be dropped."""
        self._keep_adapters("memory efficient attention", None)
        super().set_use_memory_efficient_attention_xformers(valid, attention_op)

    def set_use_npu_flash_attention(self, valid: bool) -> None:
        """As in diffusers. Raises: InputError where signals' weights would be dropped."""
        self._keep_adapters("NPU flash attention", None)
        super().set_use_npu_flash_attention(valid)

    def set_use_xla_flash_attention(self, *args: Any, **options: Any) -> None:
        """As in diffusers. Raises: InputError where signals' weights would be dropped."""
        self._keep_adapters("XLA flash attention", None)
        super().set_use_xla_flash_attention(*args, **options)

    def _keep_adapters(self, what: str, processor: Any) -> None:
        """Raise InputError unless all processors with weights stay, or others with weights replace them."""
        new = processor if isinstance(processor, Mapping) else {}
        lost = [
            name
            for name, held in self.attn_processors.items()
            if isinstance(held, DecoupledAttention) and not isinstance(new.get(name), DecoupledAttention)
        ]
        if lost:
            raise InputError(
                f"{what}: {len(lost)} attention processors hold weights of signals (first: {lost[0]}), which "
                "would be dropped; give a dict that keeps them, made from network.attn_processors, and "
                "choose the kernel by torch.nn.attention.sdpa_kernel"
            )

    @classmethod
    def extract_init_dict(cls, config_dict: Mapping[str, Any], **options: Any) -> Any:
        """diffusers' step of `from_config` that chooses settings; those of older versions are looked at."""
        return super().extract_init_dict(current(config_dict), **options)

    @classmethod
    def _load_pretrained_model(cls, model: Any, *args: Any, **options: Any) -> Any:
        """diffusers' step of `from_pretrained` that fills the weights, and behind it those that it lacks."""
        loaded = super()._load_pretrained_model(model, *args, **options)
        _, missing, _, mismatched, *_ = loaded
        lost = sorted(key for key in missing if not cls._is_addition(key))
        if lost:
            raise InputError(
                f"{cls.__name__}: {len(lost)} weights of the base network are missing (first: {lost[0]}); "
                "the files are not whole, or of another network"
            )
        keys = {*missing, *(key for key, *_ in mismatched)}
        if keys:
            begin_fresh(model, keys, not all(map(cls._is_addition, keys)), options)
            model.fit_additions(keys)
        return loaded

    @classmethod
    def _is_addition(cls, key: str) -> bool:
        return key.startswith(cls.ADDITIONS) or ".processor." in key

    def fit_additions(self, keys: Set[str]) -> None:
        """Change those of the fresh weights under `keys` that depend on the base's: here none."""
