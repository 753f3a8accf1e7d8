"""Lines and a bar on stderr while a verb works through many files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from fastmatte.cli import one_line

if TYPE_CHECKING:
    from rich.live import Live
    from rich.progress import Progress

    from fastmatte.video import Status


class Lines:
    """Prints one line after another on stderr."""

    def say(self, text: str) -> None:
        """Print a line."""
        click.echo(one_line(text), err=True)

    def advance(self) -> None:
        """Count one image as dealt with: nothing to show here."""


class Bar(Lines):
    """Prints lines above a progress bar."""

    def __init__(self, bar: Progress, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=total)

    def say(self, text: str) -> None:
        """Print a line; file names are not markup, and a wrapped line cannot be copied."""
        self._bar.console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)

    def advance(self) -> None:
        """Move the bar on."""
        self._bar.advance(self._task)


@contextmanager
def progress(total: int) -> Iterator[Lines]:
    """Show a bar where there are several images and somebody to watch it."""
    if total < 2 or not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Bar(bar, total)


class FrameLines(Lines):
    """Prints lines, and shows nothing while frames go by."""

    def expect(self, frames: int | None) -> None:
        """Hear how many there will be."""

    def advance(self, frames: int = 1) -> None:
        """Hear of frames that are done."""


class FrameBar(FrameLines):
    """A bar with frames a second and the time left."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)

    def expect(self, frames: int | None) -> None:
        """Begin."""
        self._bar.reset(self._task, total=frames)

    def advance(self, frames: int = 1) -> None:
        """Move on; what an interrupted job had done comes first, and is not this one's speed."""
        if frames > 1:
            self._bar.update(self._task, completed=frames)
        else:
            self._bar.advance(self._task)


@contextmanager
def frame_progress() -> Iterator[FrameLines]:
    """Show a bar where there is somebody to watch it."""
    if not sys.stderr.isatty():
        yield FrameLines()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        """Frames a second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} fps" if task.speed else "")

    columns = (BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield FrameBar(bar)


class StatusLines(Lines):
    """Says when a camera goes and comes back."""

    def __init__(self) -> None:
        self._lost = False

    def tell(self, status: Status) -> None:
        """Hear how it is doing."""
        lost = status.state == "lost"
        if lost != self._lost:
            self._lost = lost
            self.say(f"{status.reason}; trying again" if lost else "The camera is back")


class StatusLine(StatusLines):
    """Shows how a camera is doing, in a line of its own."""

    def __init__(self, live: Live) -> None:
        super().__init__()
        self._live = live

    def say(self, text: str) -> None:
        """Print a line above it."""
        self._live.console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)

    def tell(self, status: Status) -> None:
        """Show how it is doing."""
        from rich.text import Text

        super().tell(status)
        parts = [
            f"{status.shown_per_second:.1f} of {status.frames_per_second:.1f} fps",
            f"{status.dropped} dropped",
        ]
        if status.latency is not None:
            parts.insert(1, f"latency {status.latency.p50:.0f} ms, p99 {status.latency.p99:.0f}")
        if status.state == "lost":
            parts = ["waiting for the camera"]
        # Now, in this thread: one that refreshes by itself would hold up frames.
        self._live.update(Text(" · ".join(parts)), refresh=True)


@contextmanager
def camera_status() -> Iterator[StatusLines]:
    """Show a line where there is somebody to watch it."""
    if not sys.stderr.isatty():
        yield StatusLines()
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        yield StatusLine(live)
