"""Instruction set detection and forcing."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import fastmatte as fm
import pytest


def import_with(value):
    return subprocess.run(
        [sys.executable, "-c", "import fastmatte; print(fastmatte.cpu.active())"],
        env={**os.environ, "FASTMATTE_CPU": value},
        capture_output=True,
        text=True,
        check=False,
    )


def test_strongest_is_active_and_scalar_always_there():
    assert fm.cpu.available()[0] == "scalar"
    if "FASTMATTE_CPU" not in os.environ:
        assert fm.cpu.active() == fm.cpu.available()[-1]
    if platform.machine() in ("aarch64", "arm64"):
        assert fm.cpu.available()[-1] == "neon"


def test_force_holds_inside_the_block_only():
    before = fm.cpu.active()
    with fm.cpu.force("scalar"):
        assert fm.cpu.active() == "scalar"
        with pytest.raises(RuntimeError, match="stop"), fm.cpu.force(before):
            raise RuntimeError("stop")
        assert fm.cpu.active() == "scalar"
    assert fm.cpu.active() == before


def test_unknown_isa_names_the_available_ones():
    with pytest.raises(ValueError, match=r"isa: expected one of scalar.*, got 'mmx'"):
        fm.cpu.force("mmx").__enter__()


def test_environment_chooses_or_is_refused_by_the_import():
    assert import_with("scalar").stdout.strip() == "scalar"
    refused = import_with("fast")
    assert refused.returncode != 0
    assert "FASTMATTE_CPU: expected one of scalar" in refused.stderr
    assert "got 'fast'" in refused.stderr
