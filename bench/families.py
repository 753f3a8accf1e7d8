"""README's table of families: written from the families themselves, between its markers.

python -m bench.families
"""

from __future__ import annotations

from pathlib import Path

from fastmatte.models import FAMILIES

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- python -m bench.families writes from here -->\n", "<!-- the families end -->\n"


def section() -> str:
    lines = [
        "| Family | Networks | Sees a frame at | Needs besides | Gives |",
        "|---|---|---|---|---|",
    ]
    for family in FAMILIES.values():
        cells = (family.networks, family.sizes, family.guidance or "", family.gives)
        lines.append(f"| `{family.name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def replaced(text: str) -> str:
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"README.md has lost {BEGIN!r}"
    assert end, f"README.md has lost {END!r}"
    return f"{before}{begin}\n{section()}\n\n{end}{after}"


def main() -> None:
    README.write_text(replaced(README.read_text()))


if __name__ == "__main__":
    main()
