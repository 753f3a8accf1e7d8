"""README's table of kernels: measures whole runs, writes the section between its markers.

    python -m bench.table --runs 3

Fails, and leaves README as it is, where a peer's answer is not what the kernel's is.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from fastmatte.benchmark import table
from fastmatte.benchmark.cases import CASES
from fastmatte.benchmark.measure import Row, measure

from bench.readme import Part

PART = Part("<!-- python -m bench.table writes from here -->\n", "<!-- to here -->\n")


def section(rows: list[Row], grown: list[Row], runs: int) -> str:
    facts = table.machine()
    with_what = ", ".join(f"{name} {facts[name]}" for name in table.LIBRARIES if name in facts)
    missed = sum(bool(row.missed) for row in rows)
    return (
        f"{table.markdown(rows)}\n\n"
        f"{facts['processor']}; {with_what}. Medians of {runs} whole run{'s' * (runs > 1)}; "
        f"{missed or 'none'} of {len(rows)} rows below what they must reach.\n\n"
        "What a pixel takes at 4K against 1080p, at most 1.1 times as much, beside memcpy of as "
        "many bytes in the same rounds: the caches hold the smaller frame, and memory is slower. "
        "A kernel that moves at least half as many bytes a second as memcpy may grow as it does; "
        "memcpy excuses none that moves fewer. And what two threads gain, at least 1.7, beside "
        "two calls at once, each on one thread with arrays of its own: they share no work, so "
        "what they do not gain the machine does not give. They also take twice the room in the "
        "caches, so two threads can gain more. Alpha is read twice where it is float32, once to "
        "check it, which the bytes do not count.\n\n"
        f"{table.growth(grown)}\n\n{table.beyond(grown)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="the least time for a row")
    arguments = parser.parse_args()
    cases = [case for case in CASES if case.shown]
    rows = measure(cases, runs=arguments.runs, seconds=arguments.seconds)
    alone = [replace(case, peers=()) for case in cases]
    grown = measure(
        alone,
        sizes=["1080p", "4k"],
        threads=[1, 2],
        runs=arguments.runs,
        seconds=arguments.seconds,
    )
    text = section(rows, grown, arguments.runs)
    print(text)
    if wrong := [row for row in rows if row.differing]:
        sys.exit("\n".join(f"{row.kernel} {row.work}: {row.differing}" for row in wrong))
    PART.write(text)


if __name__ == "__main__":
    main()
