"""README's table of families: written from the families themselves, between its markers.

python -m bench.families
"""

from __future__ import annotations

from fastmatte.models import FAMILIES

from bench.readme import Part

PART = Part("<!-- python -m bench.families writes from here -->\n", "<!-- the families end -->\n")


def section() -> str:
    lines = [
        "| Family | Networks | Sees a frame at | Needs besides | Gives |",
        "|---|---|---|---|---|",
    ]
    for family in FAMILIES.values():
        cells = (family.networks, family.sizes, family.guidance or "", family.gives)
        lines.append(f"| `{family.name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    PART.write(section())


if __name__ == "__main__":
    main()
