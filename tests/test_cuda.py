"""fastmatte.cuda where there is no GPU: it imports, and every function says what is missing."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import fastmatte as fm
import fastmatte.cuda
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
CALLS = {
    "devices": (),
    "free_memory": (),
    "empty": ((1, 1), "uint8"),
    "to_device": (np.zeros((1, 1), np.uint8),),
    "Stream": (),
    "Event": (),
    "cutout": (None, None),
    "to_tensor": (None,),
}


def test_import_works_without_a_driver():
    code = "import fastmatte.cuda as c; print(c.missing())"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"CUDA_VISIBLE_DEVICES": ""},
    )
    assert result.stdout.strip()


@pytest.mark.parametrize("name", CALLS)
def test_every_function_says_what_is_missing(name):
    missing = fm.cuda.missing()
    if missing is None:
        pytest.skip("a GPU is here, and nothing is missing")
    with pytest.raises(fm.errors.DeviceError, match=re.escape(f"no CUDA device: {missing}")):
        getattr(fm.cuda, name)(*CALLS[name])


def test_a_pipeline_says_what_is_missing():
    if fm.cuda.missing() is None:
        pytest.skip("a GPU is here, and nothing is missing")
    with pytest.raises(fm.errors.DeviceError, match="no CUDA device"):
        fm.cuda.Pipeline(print, frame_size=(4, 4), size=(4, 4))


def test_a_build_without_nvcc_says_so(monkeypatch):
    monkeypatch.setattr(fm.cuda, "_cuda", None)
    assert fm.cuda.missing() == (
        "this fastmatte was built without nvcc, and so without its GPU module"
    )
    with pytest.raises(fm.errors.DeviceError, match="was built without nvcc"):
        fm.cuda.devices()


def test_all_is_sorted_and_true():
    key = {name: (not name[0].isupper(), name) for name in fm.cuda.__all__}
    assert fm.cuda.__all__ == sorted(fm.cuda.__all__, key=key.get)
    assert all(hasattr(fm.cuda, name) for name in fm.cuda.__all__)


def kernels_of_cmake():
    text = (ROOT / "CMakeLists.txt").read_text()
    return re.search(r"set\(CUDA_KERNELS\s+([^)]*)\)", text)[1].split()


@pytest.mark.parametrize("name", sorted({*kernels_of_cmake(), "cutout"}))
def test_twins_take_the_same_arguments(name):
    """In the same order, with the same defaults, but for what a device does not do."""
    twin = inspect.signature(getattr(fm.kernels, name)).parameters
    here = inspect.signature(getattr(fm.cuda, name)).parameters
    assert set(here) - set(twin) == {"stream"}
    # Of frames of video NV12 is the only one there.
    frame = {"pixel_format"} if name == "yuv_to_rgb" else set()
    assert set(twin) - set(here) <= {"threads", "crop", "linear_light", "method"} | frame
    assert [n for n in here if n in twin] == [n for n in twin if n in here]
    for shared in set(here) & set(twin):
        assert here[shared].default == twin[shared].default, shared


@pytest.mark.skipif(not shutil.which("ldd"), reason="ldd (libc-bin) is not installed")
def test_the_module_needs_no_cuda_library():
    """The runtime is linked statically, and it looks for the driver when it is first asked."""
    spec = importlib.util.find_spec("fastmatte._cuda")
    if spec is None:
        pytest.skip("built without nvcc")
    listing = subprocess.run(
        ["ldd", spec.origin], capture_output=True, text=True, check=True
    ).stdout
    assert "cuda" not in re.sub(re.escape(spec.origin), "", listing)
