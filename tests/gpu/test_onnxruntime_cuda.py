"""engine="cuda": ONNX Runtime on a GPU where it is installed for one, and what is said elsewhere.

On the emulated device its own code runs with a session of the processor, whose memory is the
device's.
"""

from __future__ import annotations

import gc
import weakref
from typing import ClassVar

import fastmatte as fm
import graphs
import numpy as np
import onnxruntime
import pytest
from fastmatte.engines import onnxruntime_cuda

PHOTO = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)


class Session:
    """A session of the processor that takes addresses of the emulated device for a GPU's."""

    made: ClassVar[list[Session]] = []

    def __new__(cls, path, options, providers):
        if providers == ["CPUExecutionProvider"]:
            return Session.plain(path, options, providers=providers)
        return super().__new__(cls)

    def __init__(self, path, options, providers):
        self.providers = providers
        self.strict = "CPUExecutionProvider" not in providers
        # The processor is all that is there.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "0")
        self._session = Session.plain(path, options, providers=["CPUExecutionProvider"])
        Session.made.append(self)

    def get_providers(self):
        return [onnxruntime_cuda.PROVIDER, "CPUExecutionProvider"]

    def __getattr__(self, name):
        return getattr(self._session, name)

    def io_binding(self):
        [(_, provider), *_] = self.providers
        return Binding(self._session, int(provider["device_id"]))

    def run_with_iobinding(self, binding, options):
        wait = options.get_run_config_entry("disable_synchronize_execution_providers")
        assert wait == "1"
        [(_, provider), *_] = self.providers
        with fm.cuda.using(int(provider["device_id"])):
            fm.cuda._cuda.enqueue(
                int(provider["user_compute_stream"]),
                lambda: self._session.run_with_iobinding(binding.binding, options),
            )


class Binding:
    alive: ClassVar[weakref.WeakSet[Binding]] = weakref.WeakSet()

    def __init__(self, session, device):
        Binding.alive.add(self)
        self.device = device
        self.binding = session.io_binding()
        self.bind_cpu_input = self.binding.bind_cpu_input

    def bind_input(self, name, kind, device, *rest):
        assert (kind, device) == ("cuda", self.device)
        self.binding.bind_input(name, "cpu", 0, *rest)

    def bind_output(self, name, kind, device, *rest):
        assert (kind, device) == ("cuda", self.device)
        self.binding.bind_output(name, "cpu", 0, *rest)


@pytest.fixture
def provider(cuda, monkeypatch):
    """ONNX Runtime's CUDA provider, or the processor's in its place on the emulated device."""
    if cuda.devices()[0].name != "emulated":
        if onnxruntime_cuda.PROVIDER not in onnxruntime.get_available_providers():
            pytest.skip(f"this onnxruntime has no GPU: {onnxruntime_cuda.requirement}")
        return None
    Session.plain = onnxruntime.InferenceSession
    Session.made.clear()
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [onnxruntime_cuda.PROVIDER])
    return Session


def close(alpha, expected):
    np.testing.assert_allclose(alpha, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", ["modnet", "portrait", "selfie_channels_last"])
def test_alpha_is_that_of_the_processor(provider, graph, name):
    right = fm.Matter(graph(name), engine="onnxruntime", refine="none").alpha(PHOTO)
    matter = fm.Matter(graph(name), engine="cuda", refine="none")
    for _ in range(3):
        close(matter.alpha(PHOTO), right)
    info = matter.info
    assert (info.engine, info.precision) == ("cuda", "fp32")
    assert info.graph.startswith("none, every frame is enqueued: ONNX Runtime's runs cannot")


def test_state_stays_there(provider, tmp_path):
    path = graphs.rvm(tmp_path / "rvm.onnx")
    right = fm.Matter(path, engine="onnxruntime")
    matter = fm.Matter(path, engine="cuda")
    with right.stream(cuts="ignore") as other, matter.stream(cuts="ignore") as stream:
        for i in range(5):
            frame = np.roll(PHOTO, 9 * i, 1)
            close(stream(frame).alpha, other(frame).alpha)


def test_bindings_of_the_host_work_too(provider, tmp_path):
    path = graphs.dim(tmp_path / "dim.onnx")
    trimap = np.full(PHOTO.shape[:2], 128, np.uint8)
    right = fm.Matter(path, engine="onnxruntime").alpha(PHOTO, trimap=trimap)
    matter = fm.Matter(path, engine="cuda")
    close(matter.alpha(PHOTO, trimap=trimap), right)
    assert "on the processor: family 'dim' sees large frames in tiles" in matter.info.graph


def test_what_a_network_is_told_is_bound_too(provider, tmp_path):
    scene = np.ascontiguousarray(PHOTO[::-1])
    trimap = np.uint8([0, 128, 255])[PHOTO[..., 0] // 86]
    for make, given in ((graphs.bgmv2, {"background": scene}), (graphs.dim, {"trimap": trimap})):
        path = make(tmp_path / "x.onnx")
        right = fm.Matter(path, engine="onnxruntime", tile="none").alpha(PHOTO, **given)
        matter = fm.Matter(path, engine="cuda", tile="none")
        for _ in range(3):
            close(matter.alpha(PHOTO, **given), right)
        assert matter.info.graph.startswith("none, every frame is enqueued")


def test_sessions_run_on_our_stream_in_full_precision(provider, graph):
    if provider is None:
        pytest.skip("only the emulated session shows what it is made with")
    fm.Matter(graph("modnet"), engine="cuda")
    [(name, options), other] = provider.made[-1].providers
    assert (name, other) == (onnxruntime_cuda.PROVIDER, "CPUExecutionProvider")
    assert int(options["user_compute_stream"]) > 2
    assert options["use_tf32"] == "0"


def test_sessions_are_made_on_the_gpu_that_is_named(provider, cuda, graph, tmp_path):
    if len(cuda.devices()) < 2:
        pytest.skip("there is one device")
    right = fm.Matter(graph("modnet"), engine="onnxruntime").alpha(PHOTO)
    matter = fm.Matter(graph("modnet"), engine="cuda", device="cuda:1")
    close(matter.alpha(PHOTO), right)
    assert matter.info.device.endswith("(cuda:1)")
    if provider is not None:
        [(_, options), _] = provider.made[-1].providers
        assert options["device_id"] == "1"
    trimap = np.full(PHOTO.shape[:2], 128, np.uint8)
    fm.Matter(graphs.dim(tmp_path / "x.onnx"), engine="cuda", device=1).alpha(PHOTO, trimap=trimap)


def test_bindings_of_earlier_sizes_are_given_up(provider, graph):
    if provider is None:
        pytest.skip("only the emulated session counts its bindings")
    right, matter = (
        fm.Matter(graph("modnet"), engine=e, size=(64, 96)) for e in ("onnxruntime", "cuda")
    )
    for k in range(onnxruntime_cuda.MOST_BINDINGS):
        frame = PHOTO[k:, k:].copy()
        close(matter.alpha(frame), right.alpha(frame))
    gc.collect()
    assert 0 < len(Binding.alive) <= onnxruntime_cuda.MOST_BINDINGS
    del matter
    gc.collect()
    assert not Binding.alive


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "auto"])
def test_engines_of_the_processor_take_no_device(graph, engine):
    message = f"device: expected None, for engine '{engine}' runs on the processor and not on a GPU"
    with pytest.raises(ValueError, match=message):
        fm.Matter(graph("modnet"), engine=engine, device=0)


def test_strict_refuses_what_no_graph_runs(provider, graph):
    matter = fm.Matter(graph("modnet"), engine="cuda", strict=True)
    assert provider is None or provider.made[-1].strict
    with pytest.raises(fm.EngineError, match="strict: no CUDA graph can run a frame: ONNX Runtime"):
        matter.alpha(PHOTO)


def test_what_is_missing_is_named(graph, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(fm.EngineError, match=r"has no CUDAExecutionProvider: .*onnxruntime-gpu"):
        fm.Matter(graph("modnet"), engine="cuda")
    with pytest.raises(fm.EngineError, match="cuda runs a graph in the types it has, not in fp16"):
        fm.Matter(graph("modnet"), engine="cuda", precision="fp16")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [onnxruntime_cuda.PROVIDER])
    monkeypatch.setattr(fm.cuda, "missing", lambda: "no NVIDIA driver is installed")
    with pytest.raises(fm.EngineError, match="cuda needs a GPU: no NVIDIA driver is installed"):
        fm.Matter(graph("modnet"), engine="cuda")


def test_a_provider_that_cannot_be_made_is_an_error(cuda, provider, graph, monkeypatch):
    if provider is None:
        pytest.skip("here it can be made")
    monkeypatch.setattr(Session, "get_providers", lambda self: ["CPUExecutionProvider"])
    with pytest.raises(fm.EngineError, match="could not make its CUDAExecutionProvider: are the"):
        fm.Matter(graph("modnet"), engine="cuda")
