"""Fixtures every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import fastmatte as fm
import pytest
from hypothesis import settings

# Kernels are quick but sanitizer builds are not, and a shared machine stalls: no deadline.
settings.register_profile("fastmatte", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("fastmatte")

# The names cpp/cpu/isa.h gives for each architecture; the ones missing here show as skipped.
ALL_ISAS = ["scalar", "sse4", "avx2", "avx512", "neon"]


@pytest.fixture(params=ALL_ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once for each instruction set."""
    if request.param not in fm.cpu.available():
        pytest.skip(f"this processor has no {request.param}")
    with fm.cpu.force(request.param):
        yield request.param
