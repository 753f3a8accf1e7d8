"""Where these tests run: on the processor, where every kernel is compiled for it too, and on a GPU.

One command for both, each skipped with a reason where it cannot be: python -m pytest tests/gpu
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from types import ModuleType

import fastmatte as fm
import fastmatte.cuda
import pytest
from hypothesis import HealthCheck, settings

# The fixture below is the same for all examples of a test.
settings.register_profile(
    "device",
    settings.get_profile("fastmatte"),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What PyTorch or CuPy warn of on a machine with a GPU is no failure of ours."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and callspec.params.get("cuda") == "device":
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(params=["emulated", "device"])
def cuda(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """fastmatte.cuda on the kernels compiled for the processor, and on the GPU."""
    if request.param == "emulated":
        if importlib.util.find_spec("fastmatte._cuda_emulated") is None:
            pytest.skip("not built with FASTMATTE_CUDA_EMULATED=ON")
        emulated = importlib.import_module("fastmatte._cuda_emulated")
        monkeypatch.setattr(fm.cuda, "_cuda", emulated)
    elif missing := fm.cuda.missing():
        pytest.skip(f"no CUDA device: {missing}")
    yield fm.cuda
    fm.cuda.release_memory()


@pytest.fixture
def emulated(cuda: ModuleType) -> ModuleType:
    """The module on the processor, for what only it can show."""
    if not hasattr(cuda._cuda, "live_bytes"):
        pytest.skip("only the emulated device can be made to fail")
    return cuda._cuda
