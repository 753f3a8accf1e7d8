"""The public face: names, version, types, and the cost of importing."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import fastmatte as fm
import pytest

ROOT = Path(__file__).parent.parent
KERNELS = re.search(r"set\(KERNELS\s+([^)]*)\)", (ROOT / "CMakeLists.txt").read_text())[1].split()


@pytest.mark.parametrize("module", [fm, fm.kernels, fm.metrics, fm.models, fm.video])
def test_all_is_sorted_and_true(module):
    key = {name: (not name.isupper(), not name[0].isupper(), name) for name in module.__all__}
    assert module.__all__ == sorted(module.__all__, key=key.get)
    assert all(hasattr(module, name) for name in module.__all__)


def test_version_is_stated_once():
    stated = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert fm.__version__ == stated[1]


@pytest.mark.parametrize("name", fm.kernels.__all__)
def test_every_kernel_tells_its_arguments(name):
    function = getattr(fm.kernels, name)
    documented = inspect.getdoc(function)
    arguments = set(function.__code__.co_varnames[: function.__code__.co_argcount])
    arguments |= set(function.__kwdefaults__ or {}) - {"threads"}
    for argument in arguments:
        assert re.search(rf"^([\w, ]+, )?{argument}(, [\w, ]+)?:", documented, re.MULTILINE), (
            f"{name} does not document {argument}"
        )
    assert "Returns" in documented


@pytest.mark.parametrize("kernel", [k for k in KERNELS if k not in ("alpha_range", "resample")])
def test_every_kernel_has_its_test(kernel):
    assert (ROOT / "tests" / f"test_{kernel}.py").exists()


def test_import_is_light():
    """No engine and no codec before it is needed."""
    code = (
        "import sys, numpy; before = set(sys.modules); import fastmatte;"
        "print(*sorted(m.split('.')[0] for m in set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.split())
    heavy = {
        "onnxruntime",
        "openvino",
        "PIL",
        "click",
        "rich",
        "onnx",
        "cv2",
        "platformdirs",
        "http",
        "av",
    }
    assert not loaded & heavy
