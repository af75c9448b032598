"""Pipelines are read from model folders and written to them, with the arguments of diffusers."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import torch
from typing_extensions import Self

from ..errors import InputError
from ..signals.signal import SIGNALS
from .arguments import LOAD, SAVE, named
from .model.find import find_model
from .model.folder import COMPONENT, check_files, load_model, save_model
from .model.memory import Arrangement, arrange, parse_budget, settle
from .model.model import TalkingHeadModel
from .placement import PlacedPipeline, pick_device, pick_dtype

log = logging.getLogger("actalker")
DtypeArgument = str | torch.dtype | dict[str, torch.dtype]


class StoredPipeline(PlacedPipeline):
    """A pipeline that is read from a model folder or the hub, and written to a model folder."""

    def __init__(
        self, model: TalkingHeadModel, name: str = "model", files: dict[str, str] | None = None
    ) -> None:
        """Wrap a model, the only component.

        name: where it comes from, and files: the hashes of its files; both go into sidecars.
        """
        super().__init__()
        # as `register_modules`, which would load torch's compiler to see whether the model is a compiled one
        self.register_to_config(model=COMPONENT)
        self.model = model
        self.register_to_config(name=name, files=dict(files or {}), _name_or_path=name)
        self.name, self.hashes = name, dict(files or {})
        self.arrangement = Arrangement(model.network.dtype)
        self.compiled = False

    @classmethod
    @named(LOAD)
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        device: str | torch.device = "auto",
        dtype: str | torch.dtype | dict[str, torch.dtype] = "auto",
        memory: str = "max",
        compile: bool = False,
        *,
        torch_dtype: str | torch.dtype | dict[str, torch.dtype] | None = None,
        device_map: str | None = None,
        variant: str | None = None,
        subfolder: str | None = None,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        token: str | bool | None = None,
        use_safetensors: bool | None = None,
    ) -> Self:
        """Load `tiny`, `direct`, a model folder or a hub id.

        Args:
            device: auto, cpu, cuda or mps.
            dtype: auto, float32, bfloat16 or float16; auto is bfloat16 on CUDA, else float32, and float32
                for models without weights. Of diffusers' dictionary, `model` counts, or else `default`.
            memory: most memory, such as `8GB`: the fastest arrangement that fits is taken.
            compile: whether the network goes through torch.compile.
            torch_dtype: another name of dtype.
            device_map: another name of device; `balanced` is auto.
            variant: reads `diffusion_pytorch_model.VARIANT.safetensors`.
            subfolder: where in the folder or repository the model folder lies.
            revision, cache_dir, local_files_only, force_download, token: of the hub, as in diffusers.
            use_safetensors: weights are always safetensors; False is refused.
        Raises: InputError for unknown models, folders that are not whole, and devices that are not there.
        """
        if not isinstance(pretrained_model_name_or_path, (str, os.PathLike)):
            raise InputError(
                f"model {pretrained_model_name_or_path!r}: give tiny, direct, a model folder or a hub id"
            )
        if use_safetensors is False:
            raise InputError("use_safetensors=False: pickled weights can run programs and are not read")
        device, dtype = _one_device(device, device_map), _one_dtype(dtype, torch_dtype)
        name, place = os.fspath(pretrained_model_name_or_path), pick_device(device)
        kind = pick_dtype(dtype, place)
        budget = parse_budget(memory)
        folder = cls.download(
            name,
            subfolder=subfolder,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
            token=token,
        )
        model = load_model(folder, "cpu", kind, variant)
        if dtype == "auto" and not any(True for _ in model.parameters()):
            kind = torch.float32  # nothing becomes smaller or faster, and angles stay exact
            model.to(kind)
        most = 2 + sum(s in model.encoders for s in SIGNALS)  # passes, where identity and all are guided
        chosen = arrange(model, place.type, kind, budget, free=dtype == "auto", passes=most)
        settle(model, chosen, place)
        pipeline = cls(model, name, check_files(folder))
        pipeline.arrangement, pipeline.compiled = chosen, compile
        if compile:
            model.network.compile()
        return pipeline

    @named(SAVE)
    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        safe_serialization: bool = True,
        variant: str | None = None,
        max_shard_size: int | str | None = None,
    ) -> None:
        """Write the model folder that `from_pretrained` reads; an existing one is replaced when it is whole.

        Args:
            safe_serialization: weights are safetensors either way; False logs a warning.
            variant: `fp16` names weights `diffusion_pytorch_model.fp16.safetensors`; numbers stay.
            max_shard_size: largest file of weights, bytes or `5GB`; None writes one file a part.
        """
        if not safe_serialization:
            log.warning("safe_serialization=False: weights are written as safetensors all the same")
        offload, device = self.arrangement.offload, self.device
        if offload != "none":
            self.remove_all_hooks()  # weights that wait elsewhere could not be written
        save_model(self.model, Path(save_directory), variant=variant, shard=max_shard_size)
        if offload != "none":
            self._offload(offload, None, device)

    @classmethod
    def from_config(cls, *args: object, **options: object) -> Self:
        """Not offered. Raises: InputError."""
        raise InputError("from_config: a pipeline is made by from_pretrained, or of a TalkingHeadModel")

    @classmethod
    @named(LOAD)
    def download(
        cls,
        pretrained_model_name: str | os.PathLike[str],
        *,
        subfolder: str | None = None,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        token: str | bool | None = None,
    ) -> Path:
        """Return a model's folder, fetched from the hub if need be. Arguments as of `from_pretrained`."""
        return find_model(
            os.fspath(pretrained_model_name),
            subfolder,
            revision=revision,
            cache_dir=None if cache_dir is None else os.fspath(cache_dir),
            local_files_only=local_files_only,
            force_download=force_download,
            token=token,
        )


def _one_device(device: str | torch.device, device_map: str | None) -> str | torch.device:
    """The device of two arguments that name it. Raises: InputError where both are set."""
    if device_map is None:
        return device
    if device != "auto":
        raise InputError(f"device {device} and device_map {device_map}: give one of the two")
    return "auto" if device_map == "balanced" else device_map


def _one_dtype(dtype: DtypeArgument, torch_dtype: DtypeArgument | None) -> str | torch.dtype:
    """The model's dtype of two arguments that name it. Raises: InputError where they differ."""
    if torch_dtype is not None and dtype not in ("auto", torch_dtype):
        raise InputError(f"dtype {dtype} and torch_dtype {torch_dtype}: give one of the two")
    dtype = dtype if torch_dtype is None else torch_dtype
    if isinstance(dtype, dict):
        return dtype.get("model", dtype.get("default", torch.float32))
    return dtype
