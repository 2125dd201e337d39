"""How far a job is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

_SECONDS_BETWEEN_LINES = 10.0


class JobProgress:
    """Images done, rate and time left, on standard error.

    Args:
        total: images to do.
        enabled: False shows nothing.
    """

    def __init__(self, total: int, enabled: bool = True):
        console = Console(stderr=True)
        columns = [TextColumn('images'), BarColumn(), MofNCompleteColumn(), TextColumn('{task.fields[pace]}')]
        self._bar = Progress(*columns, console=console, disable=not (enabled and console.is_terminal))
        self._in_lines = enabled and not console.is_terminal
        self._total, self._done, self._masks = total, 0, 0
        self._task = self._bar.add_task('', total=total, pace='')

    def __enter__(self) -> JobProgress:
        self._started = self._last_line = time.monotonic()
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._in_lines and self._done:
            self._print_line()

    def show(self, num_images: int, num_masks: int) -> None:
        """So many are done."""
        self._done, self._masks = num_images, num_masks
        if self._done:
            self._bar.update(self._task, completed=num_images, pace=self._pace())
        if self._done and self._in_lines and time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._print_line()

    def _print_line(self) -> None:
        self._last_line = time.monotonic()
        self._bar.console.print(f'images {self._done}/{self._total} {self._pace()}', highlight=False, soft_wrap=True)

    def _pace(self) -> str:
        seconds = max(time.monotonic() - self._started, 1e-9)
        left = round(seconds / self._done * (self._total - self._done))
        clock = f'{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}'
        return f'{self._done / seconds:.1f} images/s, {self._masks / seconds:.1f} masks/s, {clock} left'
