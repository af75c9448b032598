"""A checkpoint's progress in the terms of the settings that the training goes on with."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from .optimizer import OptimizerConfig


def go_on(
    checkpoint: dict[str, Any], optimizer: OptimizerConfig, accumulated: int, groups: list[int]
) -> None:
    """Change a checkpoint in place, so that a training goes on under the current settings.

    Batches are counted anew, for a step may be made of more or fewer of them than before. The learning rate
    is that of the settings.

    Args:
        accumulated: batches of a step.
        groups: numbers of weights in each of the optimiser's groups.
    Raises: InputError for a checkpoint that was trained with other weights frozen.
    """
    for schedule in checkpoint.get("lr_schedulers", ()):  # a checkpoint of weights alone has none
        schedule["base_lrs"] = [optimizer.learning_rate] * len(schedule["base_lrs"])
    rate = optimizer.learning_rate * optimizer.rate(checkpoint["global_step"])
    for state in checkpoint.get("optimizer_states", ()):
        trained = [len(group["params"]) for group in state["param_groups"]]
        if trained != groups:
            raise InputError(
                f"--ckpt_path: the checkpoint trained {sum(trained)} weights, the settings train "
                f"{sum(groups)}; give the model.tuning that it was trained with, or begin anew with "
                "--model.start"
            )
        for group in state["param_groups"]:
            group["lr"] = rate
    if "loops" not in checkpoint:
        return
    counted = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]
    change = checkpoint["global_step"] * accumulated - counted["ready"]
    for kind in counted:  # a checkpoint that is written while a batch ends counts it as not yet completed
        counted[kind] += change
