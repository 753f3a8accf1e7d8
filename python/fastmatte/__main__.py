"""python -m fastmatte: the command line."""

from __future__ import annotations

from fastmatte.cli import main

main(prog_name="fastmatte")
