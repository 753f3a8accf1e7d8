"""Per-ISA objects may define nothing that the linker could share between instruction sets."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

BUILD = Path(__file__).parent.parent / "build"
OBJECTS = sorted(BUILD.glob("cp3*/CMakeFiles/simd_*.dir/cpp/kernels/*.o"))


@pytest.mark.skipif(not OBJECTS, reason="no build folder: run `pip install .` in this checkout")
@pytest.mark.skipif(not shutil.which("nm"), reason="nm (binutils) is not installed")
@pytest.mark.parametrize("path", OBJECTS, ids=lambda p: f"{p.parts[-4]}-{p.name}")
def test_only_strong_symbols_in_the_isa_namespace(path):
    isa = re.search(r"simd_(\w+)\.dir", str(path)).group(1)
    listing = subprocess.run(
        ["nm", "-C", "--defined-only", "--extern-only", path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    # Sanitizers add bookkeeping of their own.
    symbols = [line.split(maxsplit=2)[1:] for line in listing if "__" not in line]
    assert symbols, "an empty object: is its source in the right namespace?"
    for kind, name in symbols:
        assert kind == "T", f"{name} is weak or data ({kind}): one ISA's copy would serve all"
        assert name.startswith(f"fastmatte::{isa}::"), name
