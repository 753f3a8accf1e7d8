"""README's parts that commands write, each between its own two markers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


@dataclass(frozen=True)
class Part:
    """What stands between two lines of README."""

    begin: str
    end: str

    def replaced(self, text: str, section: str) -> str:
        before, begin, rest = text.partition(self.begin)
        _, end, after = rest.partition(self.end)
        assert begin, f"README.md has lost {self.begin!r}"
        assert end, f"README.md has lost {self.end!r}"
        return f"{before}{begin}\n{section.strip()}\n\n{end}{after}"

    def write(self, section: str) -> None:
        README.write_text(self.replaced(README.read_text(), section))
