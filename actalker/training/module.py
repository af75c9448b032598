"""The training loop's view of the model: what a step minimises, the optimiser, what is logged and sampled.

Letters: b batch, f frames, H W picture size.
"""

from __future__ import annotations

from dataclasses import asdict
from os import PathLike

import lightning as L
import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from ..control.conditions import Conditions, widen_regions
from ..data.module import SharedBatches, StepData
from ..data.performances.performance import Performance
from ..data.sample import Sample, pixels
from ..data.speech.dataset import Spoken
from ..data.tokens import batch_tokens
from ..diffusion.objective import Losses, ObjectiveConfig, by_noise_level, denoising_loss
from ..errors import InputError
from ..heads.face_map import NUMBERS
from ..pipeline.generate import generate
from ..pipeline.model.model import ModelConfig, TalkingHeadModel
from ..pipeline.options import RunOptions
from ..pipeline.sampling_plan import sampling_plan
from ..signals.standardize import Standardize
from .auxiliary import auxiliary_losses
from .checkpoints import read_checkpoint
from .hyperparameters import arguments, plain
from .means import StepMeans
from .motion import denoise_motion, explained
from .optimizer import OptimizerConfig, decayed_and_plain, new_adamw
from .resume import go_on
from .shard import shard
from .speech import heard, speech_loss
from .start import begin, settings_of
from .strategies import (
    StrategyConfig,
    change_looks,
    cut_window,
    drop_signals,
    null_tokens,
    vary_conditions,
)
from .tuning import TuningConfig, tune


class TrainingModule(L.LightningModule):
    """One training step: denoise a batch under its gates and minimise the weighed errors.

    Everything random is a function of (seed, step).
    """

    def __init__(
        self,
        model: ModelConfig | None,
        objective: ObjectiveConfig,
        optimizer: OptimizerConfig,
        strategy: StrategyConfig,
        gradient_checkpointing: bool = False,
        start: str | None = None,
        fresh: tuple[str, ...] | None = (),
        tuning: TuningConfig | None = None,
        seed: int = 0,
    ) -> None:
        """Build the model, load its first weights, and choose which of them are trained.

        Args:
            model: settings; None: those of `start`.
            start: name, folder or hub id of a model whose weights the training begins with, or SVD's folder
                as diffusers lays it out; parts that it has not begin fresh.
            fresh: `*` patterns of the names of weights that do so too, such as `network.control.*`.
            tuning: what is trained; None: everything.
        Raises: InputError for settings and weights that do not fit.
        """
        super().__init__()
        self.tuning, fresh = tuning or TuningConfig(), tuple(fresh or ())
        model = model or settings_of(start)
        settings = {"model": model, "objective": objective, "optimizer": optimizer, "strategy": strategy}
        settings |= {"gradient_checkpointing": gradient_checkpointing, "start": start, "fresh": fresh}
        settings |= {"tuning": self.tuning, "seed": seed}
        self.save_hyperparameters(plain(settings))
        self.model = TalkingHeadModel(model)
        self.taught = () if start is None else begin(self.model, start, fresh)
        tune(self.model, self.tuning)
        if gradient_checkpointing:
            self.model.network.enable_gradient_checkpointing()
        self.objective, self.optimizer, self.strategy, self.seed = objective, optimizer, strategy, seed
        self.means = StepMeans()
        if strategy.motion.tokens:
            widths = {s: null_tokens(self.model, s, 1, 1).numel() for s in self.model.signals}
            self.token_readers = nn.ModuleDict({s: nn.Linear(w, len(NUMBERS)) for s, w in widths.items()})

    def configure_model(self) -> None:
        """Split the weights over processes, where the trainer's strategy is `ModelParallelStrategy`."""
        if self.device_mesh is not None:
            entries = ("training_step", "validation_step", "sample")
            shard(self, self.model.network.blocks(), self.device_mesh["data_parallel"], entries)

    def setup(self, stage: str) -> None:
        """Tell the data module which signals the model takes, unless the data's settings list signals."""
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, StepData):
            data.take_signals(self.model.signals)

    def step_generator(self, step: int, part: int = 0) -> torch.Generator:
        """Return the generator of one part of a step. It depends on (seed, step, part) alone.

        part: index of the part within the global batch, which processes and gradient accumulation divide. The
        draws of a part do not depend on which process computes it, or on a resume.
        """
        return torch.Generator().manual_seed((self.seed * 1_000_003 + step) * 8192 + part)

    def tokens(self, batch: Sample, generator: torch.Generator | None) -> dict[str, Tensor]:
        """Tokens (b, f, n, d) of every signal; a generator augments the driving crops, as in training."""
        return batch_tokens(self.model, batch, generator, self.strategy.augment)

    def conditions(
        self, batch: Sample, tokens: dict[str, Tensor], generator: torch.Generator, training: bool = True
    ) -> Conditions:
        """Return what the network is told about a batch of clips; in training after random dropout."""
        b, f = batch.frames.shape[:2]
        shape = (b, f, *batch.face.shape[-2:])
        face = batch.face.float()[:, None].expand(shape)
        mouth = batch.mouth.float()[:, None].expand(shape)
        acting = batch.regions()
        gates = {s: gate.float() for s, gate in batch.by_signal(self.model.signals).items()}
        regions = {s: acting[s][:, None].expand(shape) for s in gates}
        conditions = self.model.conditions(
            pixels(batch.portrait),
            tokens,
            regions=widen_regions(regions, gates, face),
            masks={"face": face, "mouth": mouth},
            gates=gates,
            micro=batch.micro.float(),
        )
        if training:
            return vary_conditions(self.model, conditions, self.strategy, generator)
        # a chance of 0 draws too: the noise of a clip does not depend on the dropout
        return drop_signals(self.model, conditions, 0.0, generator)

    def losses(self, batch: Sample, generator: torch.Generator, training: bool = True) -> Losses:
        """The denoising losses of a batch of clips: one draw of noise levels and noise."""
        tokens = self.tokens(batch, generator if training else None)
        conditions = self.conditions(batch, tokens, generator, training)
        latents = self.model.codec.encode(pixels(batch.frames))
        latent_conditions = self.model.over_latent_frames(conditions)
        return denoising_loss(self.model.denoise, latents, latent_conditions, self.objective, generator)

    def step_loss(
        self, batch: Sample | Performance | Spoken, step: int, part: int = 0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Draw noise, denoise, and return the weighted sum of losses that a step minimises.

        Also returned: name -> value to log.
        """
        if isinstance(batch, Spoken):
            return speech_loss(self.model, batch)
        generator = self.step_generator(step, part)
        strategy, terms = self.strategy, list[tuple[str, float, Tensor]]()
        if isinstance(batch, Performance):
            motion = cut_window(batch, strategy.window, generator)
            denoised = denoise_motion(self.model, motion, self.objective, generator, strategy)
            losses, plain = denoised.losses, {}
            asked = auxiliary_losses(strategy.motion, generator, self.readers)
            terms = [(name, weight, loss(denoised)) for name, weight, loss in asked]
        else:
            clip = cut_window(batch, strategy.window, generator)
            losses = self.losses(change_looks(clip, strategy.looks, generator), generator)
            plain = {"rest": losses.rest}
        total = losses.total + sum(weight * loss for _, weight, loss in terms)
        values = {"loss": losses.total, "mouth": losses.mouth, "upper": losses.upper, **plain}
        values |= {name: loss for name, _, loss in terms}
        return total, values | {f"loss_{k}": v for k, v in by_noise_level(losses, self.objective).items()}

    @property
    def readers(self) -> nn.ModuleDict | None:
        """Signal -> the linear probe of `TokenError`; None if the weight of that loss is 0.

        A probe predicts, from a signal's tokens, the numbers of motion that follow from the signal.
        """
        return getattr(self, "token_readers", None)

    def training_step(self, batch: Sample, index: int) -> Tensor:
        """The loss of one batch. Lightning calls it; the values to log are added to the step's means."""
        accumulated = self.trainer.accumulate_grad_batches
        part = index % accumulated * self.trainer.world_size + self.global_rank
        with torch.random.fork_rng(devices=[]):  # dropout draws from torch's own generator
            torch.manual_seed(self.step_generator(self.global_step, part).initial_seed())
            total, values = self.step_loss(batch, self.global_step, part)
        self.means.add(values)
        self._begun = self.global_step
        return total

    def on_train_batch_end(self, outputs: object, batch: Sample, index: int) -> None:
        """Log the step when it is over: the means over its batches, of all processes."""
        if self.global_step == self._begun:
            return  # gradients are still being accumulated
        means = self.means.settle(self.device, self._total)
        self.log_dict({f"train/{name}": value for name, value in means.items()}, prog_bar=True, batch_size=1)
        rate = self.optimizer.learning_rate * self.optimizer.rate(self._begun)
        self.log("train/rate", rate, batch_size=1)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Update the mean and deviation of tokens from what all processes saw in this step."""
        for encoder in self.model.encoders.values():
            if any(weight.requires_grad for weight in encoder.parameters()):  # a frozen one stays as it is
                for part in encoder.modules():
                    if isinstance(part, Standardize):
                        part.settle(self._total)

    def _total(self, part: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        return self.all_gather(part).view(-1, *part.shape).sum(0)

    def validation_step(self, batch: Sample, index: int) -> None:
        """Log a validation batch's losses as `val/NAME`."""
        self._measure("val", batch, index, self.trainer.val_dataloaders)

    def test_step(self, batch: Sample, index: int) -> None:
        """Log a test batch's losses as `test/NAME`."""
        self._measure("test", batch, index, self.trainer.test_dataloaders)

    def _measure(self, stage: str, batch: Sample | Performance | Spoken, index: int, loader: object) -> None:
        """Log a batch's losses, for means over all clips, whatever the number of processes."""
        number = index * self.trainer.world_size + self.global_rank
        generator = torch.Generator().manual_seed(number)
        if isinstance(batch, Spoken):
            values = speech_loss(self.model, batch)[1] | heard(self.model, batch)
        else:
            values = self._denoised(batch, generator)
        order = getattr(loader, "batch_sampler", None)
        counts = not isinstance(order, SharedBatches) or order.counts(index)
        # times processes: Lightning's mean over them of whole numbers is a whole number
        clips = len(batch.index) * self.trainer.world_size if counts else 0
        self.log_dict({f"{stage}/{k}": v for k, v in values.items()}, batch_size=clips, sync_dist=True)

    def _denoised(self, batch: Sample | Performance, generator: torch.Generator) -> dict[str, Tensor]:
        if isinstance(batch, Performance):
            denoised = denoise_motion(self.model, batch, self.objective, generator)
            losses = denoised.losses
            values = {name: loss(denoised) for name, _, loss in auxiliary_losses(self.strategy.motion)}
            values |= explained(self.model, batch)
        else:
            losses = self.losses(batch, generator, training=False)
            values = {"rest": losses.rest}
        return values | {"loss": losses.total, "mouth": losses.mouth, "upper": losses.upper}

    def predict_step(self, batch: Sample, index: int) -> list[Tensor]:
        """The clips (f, 3, H, W) in [0, 1] that the model makes of a batch.

        Raises: InputError for performances and speech, which hold no picture.
        """
        if not isinstance(batch, Sample):
            raise InputError("predict: these clips hold no portrait to draw; use actalker infer")
        return [self.sample(batch.only(k)) for k in range(len(batch.frames))]

    @torch.no_grad()
    def sample(self, one: Sample, steps: int = 0) -> Tensor:
        """The clip (f, 3, H, W) in [0, 1] that the model makes of a batch of one, under its gates.

        steps: denoiser calls a window; 0: the model's own.
        """
        conditions = self.conditions(one, self.tokens(one, None), self.step_generator(0), training=False)
        plan = sampling_plan(RunOptions(steps=steps or None), self.model.config.sampling)
        pieces = generate(self.model, conditions.frames, one.frames.shape[1], plan)
        return (torch.cat(list(pieces)).float() / 2 + 0.5).clamp(0, 1)

    def on_save_checkpoint(self, checkpoint: dict[str, object]) -> None:
        """Add what `actalker export` needs beside the weights."""
        config = self.model.config.as_dict()
        phrases = getattr(getattr(self.trainer, "datamodule", None), "phrases", ()) or self.taught
        checkpoint["model_config"] = {**config, "phrases": phrases or config["phrases"]}
        checkpoint["tuning"] = asdict(self.tuning)

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | PathLike,
        map_location: torch.device | str | None = None,
        strict: bool | None = None,
        **changes: object,
    ) -> TrainingModule:
        """The module of a training's checkpoint, on the CPU unless `map_location` says otherwise.

        changes: arguments of the class in the place of the checkpoint's.
        Raises: InputError for files that are no such checkpoint.
        """
        stored = arguments(read_checkpoint(str(checkpoint_path)), cls.__init__)
        merged = {**stored, "start": None, **changes}  # the checkpoint has all weights itself
        return super().load_from_checkpoint(
            checkpoint_path, map_location=map_location or "cpu", strict=strict, weights_only=True, **merged
        )

    def on_load_checkpoint(self, checkpoint: dict[str, object]) -> None:
        """Bring the checkpoint's progress into the terms of the current settings, to go on."""
        if self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING:
            groups = [len(part) for part in decayed_and_plain(self._trained())]
            go_on(checkpoint, self.optimizer, self._trainer.accumulate_grad_batches, groups)

    def _trained(self) -> list[nn.Parameter]:
        return [p for p in self.parameters() if p.requires_grad]

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW over the trained weights and the schedule of its learning rate, for Lightning."""
        adamw = new_adamw(self._trained(), self.optimizer)
        schedule = torch.optim.lr_scheduler.LambdaLR(adamw, self.optimizer.rate)
        return {"optimizer": adamw, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
