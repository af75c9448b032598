"""The progress bar of a run."""

from __future__ import annotations

from collections.abc import Callable

from ..pipeline.plan import Plan


class progress:
    """A progress bar with the time left, shown on a terminal.

    Its value in a `with` is a function to call after every denoiser call. clips: how many clips of this plan
    the bar counts.
    """

    def __init__(
        self, plan: Plan, disable: bool = False, clips: int = 1, desc: str = "denoising", leave: bool = False
    ) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeRemainingColumn(),
            console=console,
            disable=disable or not console.is_terminal,  # in a log file it would be noise
            transient=not leave,
        )
        self.task = self.bar.add_task(desc, total=plan.windows * plan.steps * clips)

    def __enter__(self) -> Callable[[], None]:
        self.bar.start()
        return lambda: self.bar.advance(self.task)

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
