"""emulation: what .ci/aarch64 judges kernels by, here with this very Python as the emulator."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import emulation
import fastmatte as fm
import numpy as np
import pytest


def test_calls_go_through_as_they_are():
    """In place, overlapping, strided, refused, on each instruction set: a kernel's own tests."""
    core = fm._core.__file__
    options = ["-q", "-p", "emulation", "-p", "no:cacheprovider", "--hypothesis-profile=brief"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "tests/test_composite.py"],
        cwd=Path(__file__).parent.parent,
        env=os.environ
        | {"FASTMATTE_EMULATED": sys.executable, "FASTMATTE_EMULATED_CORE": core}
        | {"PYTHONPATH": f"python{os.pathsep}tests"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout


@pytest.mark.parametrize("offset", [-1, 12])
def test_a_write_outside_the_arrays_is_seen(offset):
    run = emulation.Run(5, bytes(12))
    assert run.change() is None
    run.bytes[3] = 7
    assert run.change() == bytes([0, 0, 0, 7, *[0] * 8])
    run.whole[run.begin + offset] += 1
    with pytest.raises(SystemError, match="wrote outside"):
        run.change()


def test_arrays_keep_strides_overlap_and_alignment():
    whole = np.arange(60, dtype=np.uint8).reshape(5, 12)
    arrays = [whole[1:4, ::-1], whole[2:, 3:], np.array([[1.5]], np.float32)]
    runs = emulation.runs_of(arrays)
    assert len(runs) == 2
    first, last = whole.ctypes.data + 12, whole.ctypes.data + 60
    assert [first, last] in runs
    content = whole.tobytes()[12:]
    run = emulation.Run(first % emulation.GUARD, content)
    assert run.bytes.ctypes.data % emulation.GUARD == first % emulation.GUARD
    flipped, corner = (
        emulation.Place(a, 0, a.ctypes.data - first).array([run.bytes]) for a in arrays[:2]
    )
    np.testing.assert_array_equal(flipped, arrays[0])
    np.testing.assert_array_equal(corner, arrays[1])
    corner[0, 0] = 99
    assert flipped[1, 8] == 99
