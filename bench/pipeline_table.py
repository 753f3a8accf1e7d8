"""README's table of whole calls: written, between its markers, from what bench_pipeline.py found.

    python bench/bench_pipeline.py --models ../shared/data/models --threads 1 --json > one.json
    python bench/bench_pipeline.py --models ... --threads 2 --no-memory --json > two.json
    python -m bench.pipeline_table one.json two.json

Runs of several files with as many threads and equal sizes make one table.
"""

from __future__ import annotations

import argparse
import json
from itertools import groupby
from pathlib import Path

from bench.readme import Part

PART = Part(
    "<!-- python -m bench.pipeline_table writes from here -->\n", "<!-- the calls end -->\n"
)
OURS = "fastmatte"


def ratio(row: dict, rows: list[dict]) -> str:
    """Tell how many times as long the rest of the call takes the quickest of the others."""
    if not row["contender"].startswith(OURS):
        return ""
    others = [r["rest_ms"] for r in rows if not r["contender"].startswith(OURS)]
    return f"{min(others) / row['rest_ms']:.1f}" if others else ""


def table(groups: list[dict]) -> str:
    with_memory = all(row["peak_mb"] is not None for group in groups for row in group["rows"])
    heads = ["work", "by", "whole, ms", "network, ms", "the rest, ms", "others' rest, times"]
    heads += ["peak, MB"] * with_memory
    lines = [f"| {' | '.join(heads)} |", "|---|---|" + "---:|" * (len(heads) - 2)]
    for group in groups:
        for i, row in enumerate(group["rows"]):
            cells = [
                group["group"] if i == 0 else "",
                row["contender"],
                f"{row['whole_ms']:.1f}",
                f"{row['network_ms']:.1f}",
                f"{row['rest_ms']:.2f}",
                ratio(row, group["rows"]),
            ]
            cells += [f"{row['peak_mb']:.0f}"] if with_memory else []
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def section(runs: list[dict]) -> str:
    parts = []

    def conditions(run: dict) -> tuple:
        return run["threads"], *run["size"]

    for (threads, height, width), alike in groupby(sorted(runs, key=conditions), conditions):
        groups = [group for run in alike for group in run["groups"]]
        count = f"{threads} thread{'s' * (threads > 1)}"
        parts.append(f"{width} x {height}, {count}:\n\n{table(groups)}")
    machine = runs[0]["machine"]
    libraries = ", ".join(f"{name} {machine[name]}" for name in machine if name != "processor")
    return "\n\n".join([*parts, f"{machine['processor']}; {libraries}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="what bench_pipeline.py --json printed")
    runs = [json.loads(path.read_text()) for path in parser.parse_args().runs]
    PART.write(section(runs))


if __name__ == "__main__":
    main()
