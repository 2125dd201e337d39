"""Progress of a job: a bar on a terminal, lines at intervals in a log."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

_SECONDS_BETWEEN_LINES = 10.0


class JobProgress:
    """Progress on standard error: images done, rate, time left.

    Args:
        total: number of images.
        enabled: whether anything is shown.
        unit: name of the units, if they are not images.
    """

    def __init__(self, total: int, enabled: bool = True, unit: str = 'images'):
        console = Console(stderr=True)
        columns = [TextColumn(unit), BarColumn(), MofNCompleteColumn(), TextColumn('{task.fields[pace]}')]
        self._bar = Progress(*columns, console=console, disable=not (enabled and console.is_terminal))
        self._in_lines = enabled and not console.is_terminal
        self._total, self._done, self._masks, self._unit = total, 0, 0, unit
        self._printed = 0
        self._task = self._bar.add_task('', total=total, pace='')

    def __enter__(self) -> JobProgress:
        self._started = self._last_line = time.monotonic()
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._in_lines and self._done > self._printed:
            self._print_line()

    def show(self, num_images: int, num_masks: int) -> None:
        """Update the numbers of units and masks that are done."""
        self._done, self._masks = num_images, num_masks
        if self._done:
            self._bar.update(self._task, completed=num_images, pace=self._pace())
        if self._done and self._in_lines and time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._print_line()

    def _print_line(self) -> None:
        self._last_line, self._printed = time.monotonic(), self._done
        line = f'{self._unit} {self._done}/{self._total} {self._pace()}'
        self._bar.console.print(line, highlight=False, soft_wrap=True)

    def _pace(self) -> str:
        seconds = max(time.monotonic() - self._started, 1e-9)
        left = round(seconds / self._done * (self._total - self._done))
        clock = f'{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}'
        paces = (self._done / seconds, self._masks / seconds)
        units, masks = (f'{pace:.1f}' if pace >= 1 else f'{pace:.2g}' for pace in paces)
        return f'{units} {self._unit}/s, {masks} masks/s, {clock} left'


def print_start(total: int, left: int, concluded: bool) -> None:
    """Print to standard error what an earlier run has done, if there was one.

    Args:
        total, left: numbers of all tasks, and of those left to do.
        concluded: whether the results are complete.
    """
    if concluded:
        text = f'already done: nothing has changed since the results were written ({total} of {total}).'
    elif left < total:
        text = f'resuming: {total - left} of {total} are done.'
    else:
        return
    Console(stderr=True).print(text, highlight=False, soft_wrap=True)
