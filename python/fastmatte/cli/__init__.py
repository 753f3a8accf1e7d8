"""The command line: one module a verb, loaded when the verb is used."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from fastmatte._core import __version__
from fastmatte.errors import FastmatteError, ModelError

#: Each verb is a command of its own name in the module of its own name.
VERBS = ("bench", "build", "check", "cut", "eval", "info", "models", "pull", "video", "webcam")

#: What a shell reports of a program that Ctrl-C ended: 128 + SIGINT.
INTERRUPTED = 130
#: What it reports of a program whose reader closed the pipe: 128 + SIGPIPE.
READER_GONE = 141


class Verbs(click.Group):
    """Loads verbs when they are asked for, and tells errors apart from bugs."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Name every verb."""
        return list(VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Load a verb's module."""
        if name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"fastmatte.cli.{name}"), name)
        return command

    def invoke(self, context: click.Context) -> Any:
        """Run a verb: what is no bug becomes its message on stderr and exit status 1."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # Whoever read our output has seen enough. Python flushes it once more as it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(READER_GONE) from None
        except ModelError as error:
            # What a graph has and what families there are takes a few lines to read.
            lines = map(printable, str(error).splitlines())
            raise click.ClickException("\n".join(lines)) from error
        except (FastmatteError, ValueError, OSError, MemoryError) as error:
            raise click.ClickException(one_line(reason(error))) from error


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fastmatte", message="%(prog)s %(version)s")
def main() -> None:
    """Cut people and things out of images, fast.

    \b
    Example:
      fastmatte cut photo.jpg --model modnet.onnx
    """


def reason(error: BaseException) -> str:
    """Say what an error means to the person at the shell."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError):
        return "not enough memory"
    return str(error) or type(error).__name__


def one_line(text: str) -> str:
    """Put text on one line, without what would steer the terminal."""
    return printable(" ".join(line.strip() for line in text.splitlines() if line.strip()))


def printable(text: str) -> str:
    """Show what would steer the terminal instead of sending it there."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
