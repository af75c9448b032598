"""The base class of the networks: diffusers' spatio-temporal UNet, with additions that it does not have.

Letters: b batch, f frames, c channels, h w latent size, m identity tokens, d token width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, ClassVar
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
from .fresh import Device, base_place, begin_fresh
from .older import current

if TYPE_CHECKING:
    from diffusers.models.attention_processor import AttentionProcessor

SCALARS = ("fps", "head_motion", "expression_motion")  # in the order of SVD's added time embeddings


class SpatioTemporalNetwork(UNetSpatioTemporalConditionModel):
    """SVD's UNet as diffusers has it, `UNetSpatioTemporalConditionModel`, with additional modules.

    `from_pretrained` opens folders of the class itself and of the plain UNet. Additions that a folder does
    not hold get the weights of a new network, drawn with torch's seed (`torch.initial_seed()`): the same seed
    gives the same network. diffusers' log names them. Missing weights of the base raise InputError.
    """

    ADDITIONS: ClassVar[tuple[str, ...]] = ()
    """Prefixes of the names of weights that the plain UNet does not have."""

    ignore_for_config: ClassVar[list[str]] = ["base"]
    """Arguments of `__init__` that diffusers does not store by name; it stores their items."""

    scope_id: str
    """Key by which the hooks find their network; copies share it."""

    def __init__(self, **base: object) -> None:
        """Make a network; base: settings of `UNetSpatioTemporalConditionModel`, by name."""
        with base_place():
            super().__init__(**base)
        self.scope_id = uuid4().hex

    @staticmethod
    def _get_init_keys(input_class: type) -> set[str]:
        """Return the names of a class's settings, those of the base among them (a step of diffusers)."""
        base = UNetSpatioTemporalConditionModel
        return base._get_init_keys(input_class) | base._get_init_keys(base)

    @property
    def width(self) -> int:
        """Channels of the features on the finest grid."""
        return self.config.block_out_channels[0]

    def undivided(self) -> list[str]:
        """Return names of module classes that read weights of their submodules without calling them."""
        return [MaskedBranch.__name__]

    def slice_layers(self) -> None:
        """Run feed-forward layers frame by frame from now on, which is slower and takes less memory."""
        self.enable_forward_chunking(1, 0)

    def control_sites(self) -> list[TransformerSpatioTemporalModel]:
        """Return the spatio-temporal transformers in the order of registration: 16 at SVD's size."""
        return [m for m in self.modules() if isinstance(m, TransformerSpatioTemporalModel)]

    def enable_gradient_checkpointing(
        self, gradient_checkpointing_func: Callable[..., object] | None = None
    ) -> None:
        """Recompute features in the backward pass instead of keeping them.

        Recomputed control layers see the conditions of the forward pass that they belong to.
        gradient_checkpointing_func: as in diffusers; None for `attach.checkpointed`, which ensures this.
        """
        super().enable_gradient_checkpointing(gradient_checkpointing_func or checkpointed)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        conditions: Conditions,
        return_dict: bool = True,
        states: States | None = None,
    ) -> Estimate | tuple[Tensor]:
        """Compute the raw output F(c_in x; c_noise, conditions) of one batch.

        Args:
            sample: (b, f, c, h, w) scaled noisy latents; the reference's latents are concatenated here.
            timestep: (b,) or scalar, c_noise of the noise level.
            conditions: of the same b and f.
            return_dict: whether to return an `Estimate`; False returns a tuple of the raw output,
                as diffusers' models do.
            states: states of the scans, `Estimate.states` of the pass over the previous frames; {} at the
                beginning of a clip; None for frames that are a whole clip.
        Returns: the raw output (b, f, c, h, w), and the states for the next frames.
        Raises: InputError for conditions without a part that the network reads, and for states where branches
            scan in both directions.
        """
        conditions.check_has(references=("portrait",), maps=self.maps(), scalars=SCALARS)
        estimate = self.estimate(sample, timestep, conditions, states)
        return estimate if return_dict else (estimate.output,)

    def estimate(
        self, sample: Tensor, timestep: Tensor | float, conditions: Conditions, states: States | None = None
    ) -> Estimate:
        """Compute what `forward` returns, from checked conditions; subclasses define this."""
        raise NotImplementedError

    def maps(self) -> Sequence[str]:
        """Return the names of the maps that the conditions must hold; none here."""
        return ()

    def base(
        self, sample: Tensor, timestep: Tensor | float, identity: Tensor, scalars: Mapping[str, Tensor]
    ) -> Tensor:
        """Run the UNet itself, with its hooks, inside a control scope.

        Args:
            sample: (b, f, 2c, h, w), the scaled noisy latents and the reference's.
            timestep: c_noise.
            identity: (b, m, d), the context of the cross-attentions.
            scalars: name -> (b,), with the names in `SCALARS`.
        """
        added = torch.stack([scalars[name].to(sample.dtype) for name in SCALARS], dim=1)
        return super().forward(sample, timestep, identity, added, return_dict=False)[0]

    def set_attn_processor(self, processor: AttentionProcessor | dict[str, AttentionProcessor]) -> None:
        """Set the attention processors, as in diffusers; those with signals' weights must be among them.

        Raises: InputError where a processor with signals' weights would be dropped.
        """
        self._keep_adapters("set_attn_processor", processor)
        super().set_attn_processor(processor)

    def set_default_attn_processor(self) -> None:
        """Set diffusers' default processors. Raises InputError where signals' weights would be dropped."""
        self._keep_adapters("set_default_attn_processor", None)
        super().set_default_attn_processor()

    def set_use_memory_efficient_attention_xformers(
        self, valid: bool, attention_op: Callable[..., Tensor] | None = None
    ) -> None:
        """Switch xformers' attention. Raises InputError where signals' weights would be dropped."""
        self._keep_adapters("memory efficient attention", None)
        super().set_use_memory_efficient_attention_xformers(valid, attention_op)

    def set_use_npu_flash_attention(self, valid: bool) -> None:
        """Switch the NPU's flash attention. Raises InputError where signals' weights would be dropped."""
        self._keep_adapters("NPU flash attention", None)
        super().set_use_npu_flash_attention(valid)

    def set_use_xla_flash_attention(self, *args: object, **options: object) -> None:
        """Switch XLA's flash attention. Raises InputError where signals' weights would be dropped."""
        self._keep_adapters("XLA flash attention", None)
        super().set_use_xla_flash_attention(*args, **options)

    def _keep_adapters(self, what: str, processor: object) -> None:
        """Raise InputError unless each processor with signals' weights stays or gets a successor with some.

        what: name of the call, for the message. processor: name -> new processor; else it has no weights.
        """
        new = processor if isinstance(processor, Mapping) else {}
        lost = [
            name
            for name, old in self.attn_processors.items()
            if isinstance(old, DecoupledAttention) and not isinstance(new.get(name), DecoupledAttention)
        ]
        if lost:
            raise InputError(
                f"{what}: {len(lost)} attention processors hold weights of signals (first: {lost[0]}), which "
                "would be dropped; give a dict that keeps them, made from network.attn_processors, and "
                "choose the kernel by torch.nn.attention.sdpa_kernel"
            )

    @classmethod
    def extract_init_dict(
        cls, config_dict: Mapping[str, object], **options: object
    ) -> tuple[dict[str, object], ...]:
        """Choose the settings in a config, after renaming those of older versions (a step of diffusers)."""
        return super().extract_init_dict(current(config_dict), **options)

    @classmethod
    def _load_pretrained_model(
        cls,
        model: SpatioTemporalNetwork,
        *args: object,
        device_map: Mapping[str, Device] | None = None,
        offload_folder: str | None = None,
        **options: object,
    ) -> tuple[object, ...]:
        """Fill the weights, as diffusers' step of `from_pretrained` does, and draw missing additions."""
        loaded = super()._load_pretrained_model(
            model, *args, device_map=device_map, offload_folder=offload_folder, **options
        )
        _, missing, _, mismatched, *_ = loaded
        lost = sorted(key for key in missing if not cls._is_addition(key))
        if lost:
            raise InputError(
                f"{cls.__name__}: {len(lost)} weights of the base network are missing (first: {lost[0]}); "
                "the files are not whole, or of another network"
            )
        keys = {*missing, *(key for key, *_ in mismatched)}
        if keys:
            whole = not all(map(cls._is_addition, keys))
            begin_fresh(model, keys, whole, device_map or {}, offload_folder)
            model.fit_additions(keys)
        return loaded

    @classmethod
    def _is_addition(cls, key: str) -> bool:
        """Return whether the plain UNet has no weight of this name."""
        return key.startswith(cls.ADDITIONS) or ".processor." in key

    def fit_additions(self, keys: Set[str]) -> None:
        """Set the additions under `keys` whose initial weights depend on the base's; here there are none."""
