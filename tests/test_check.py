"""fm.check and fastmatte check: what passes, what fails, and what proves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import fastmatte as fm
import graphs
import numpy as np
import pytest
from click.testing import CliRunner
from fastmatte import metrics, proof
from fastmatte.cli import main
from fastmatte.engines import ENGINES
from fastmatte.engines import onnxruntime as plain
from fastmatte.portraits import Sitter
from PIL import Image

PHOTOS = [np.random.default_rng(k).integers(0, 256, (40 + k, 60, 3), np.uint8) for k in range(3)]


class Skewed:
    """An engine whose outputs are another's, changed by a function."""

    requirement = "pip install skewed"

    def __init__(self, change):
        self._change = change

    def version(self):
        return "1"

    def reservation(self, path):
        return None

    def open(self, path, *, precision, threads, strict=False):
        engine = plain.open(path, precision="fp32", threads=threads)
        engine.name, engine.precision = "openvino", precision
        bind, change = engine.bind, self._change

        class Bound:
            def __init__(self, inputs, outputs, **options):
                self._inner = bind(inputs, outputs, **options)
                self._outputs = outputs

            def run(self):
                self._inner.run()
                for array in self._outputs.values():
                    array[:] = change(array)

        engine.bind = Bound
        return engine


@pytest.fixture
def skewed(monkeypatch):
    """Let engine="openvino" be ONNX Runtime with its outputs changed."""

    def install(change):
        monkeypatch.setitem(ENGINES, "openvino", Skewed(change))

    return install


def test_deviations_are_the_ones_made(graph, skewed):
    def change(alpha):
        alpha = alpha * np.float32(0.99)
        alpha[..., :16, :16] = 0
        return alpha

    skewed(change)
    model = graph("selfie")
    report = fm.check(
        model,
        engine="openvino",
        precision="bf16",
        samples=PHOTOS,
        tolerance=0.02,
        refine="none",
    )
    matter = fm.Matter(model, engine="onnxruntime", refine="none")
    other = fm.Matter(model, engine="openvino", refine="none")
    assert (report.matter.engine, report.matter.precision) == ("openvino", "bf16")
    assert (report.reference.engine, report.reference.precision) == ("onnxruntime", "fp32")
    assert [d.sample for d in report.deviations] == ["image 0", "image 1", "image 2"]
    for image, deviation in zip(PHOTOS, report.deviations, strict=True):
        truth, alpha = matter.alpha(image), other.alpha(image)
        assert deviation.size == image.shape[:2]
        assert deviation.maximum == np.abs(alpha - truth).max()
        assert deviation.mean == metrics.mad(alpha, truth)
        assert deviation.sad == metrics.sad(alpha, truth)
        assert deviation.maximum > 0.3 > 0.02 > deviation.mean > 0.004
    assert report.maximum == max(d.maximum for d in report.deviations)
    assert report.mean == max(d.mean for d in report.deviations)
    assert report.sad == max(d.sad for d in report.deviations)
    assert report.passed
    for tolerance, passed in [(report.mean * 0.999, False), (report.mean, True)]:
        again = fm.check(
            model, engine="openvino", samples=PHOTOS, tolerance=tolerance, refine="none"
        )
        assert again.passed == passed
    assert report.matter.refine is None
    assert fm.check(model, samples=PHOTOS).reference.refine == fm.Refine()


def test_an_engine_is_within_nothing_of_itself(graph):
    report = fm.check(graph("selfie"), engine="onnxruntime", samples=PHOTOS, tolerance=0)
    assert report.passed
    assert (report.maximum, report.mean, report.sad) == (0, 0, 0)


@pytest.mark.parametrize("name", ["modnet", "modnet_half", "rvm", "salient", "selfie", "softmax"])
def test_openvino_in_fp32_passes_on_drawn_portraits(graph, name):
    if ENGINES["openvino"].version() is None:
        pytest.skip("not installed: openvino")
    # A float16 output has steps of 2^-11 below 1.
    tolerance = 2e-4 if name == "modnet_half" else 1e-6
    report = fm.check(graph(name), engine="openvino", tolerance=tolerance)
    assert report.passed, report
    assert len(report.deviations) == len(proof.samples_of(None))
    assert len({d.size for d in report.deviations}) == len(proof.BUILT_IN)


@pytest.mark.parametrize("name", ["dim", "bgmv2-refine", "vitmatte-hf"])
def test_networks_that_need_more_are_given_it(tmp_path, name):
    if ENGINES["openvino"].version() is None:
        pytest.skip("not installed: openvino")
    path = graphs.contract(tmp_path / "model.onnx", **graphs.CONTRACTS[name])
    # A mean over 720p is a sum of a million values, each engine's in an order of its own.
    drawn = fm.check(path, engine="openvino", tolerance=1e-5)
    assert drawn.passed, drawn
    sitter = Sitter((120, 160), seed=2)
    portrait = sitter.frame(0)
    ending = {"background": "_bg", "trimap": "_trimap"}[fm.Matter(path).guidance]
    guides = {"_bg": sitter.background, "_trimap": fm.kernels.trimap(portrait.alpha, radius=3)}
    Image.fromarray(portrait.image).save(tmp_path / "a_image.png")
    with pytest.raises(ValueError, match=r"expected .* got none"):
        fm.check(path, samples=tmp_path)
    Image.fromarray(guides[ending]).save(tmp_path / f"a{ending}.png")
    assert fm.check(path, engine="openvino", samples=tmp_path, tolerance=1e-6).passed


def test_samples_are_one_video_for_a_network_that_remembers(graph, skewed):
    skewed(lambda array: array * np.float32(0.99))
    frames = [np.full((32, 32, 3), 200, np.uint8)] * 4
    frames[0] = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    report = fm.check(graph("rvm"), engine="openvino", samples=frames)
    means = [d.mean for d in report.deviations]
    # What is lost from the state adds to what is lost from alpha.
    assert means[1] < means[2] < means[3]


def test_an_output_that_is_no_alpha_is_a_failure_in_words(graph, skewed):
    skewed(lambda array: np.where(array > 0.5, np.nan, array))
    dark, light = np.zeros((9, 9, 3), np.uint8), PHOTOS[0]
    report = fm.check(graph("selfie"), engine="openvino", samples=[dark, light, dark])
    assert not report.passed
    assert [d.sample for d in report.deviations] == ["image 0"]
    assert report.failure.startswith("image 1: ")
    assert "the network's output is no alpha" in report.failure
    assert "nan" in report.failure


def test_samples_in_which_nothing_is_found_prove_nothing(graph):
    with pytest.raises(fm.FastmatteError, match=r"selfie\.onnx: these samples prove nothing"):
        fm.check(graph("selfie"), samples=[np.full((20, 20, 3), 7, np.uint8)])


def test_samples_from_a_folder_from_files_and_by_hand(graph, tmp_path):
    for k, photo in enumerate(PHOTOS):
        Image.fromarray(photo).save(tmp_path / f"{k}_image.png")
        Image.fromarray(photo[..., 0]).save(tmp_path / f"{k}_alpha.png")
    report = fm.check(graph("selfie"), samples=tmp_path)
    names = [str(tmp_path / f"{k}_image.png") for k in range(3)]
    assert [d.sample for d in report.deviations] == names
    mixed = fm.check(graph("selfie"), samples=[tmp_path / "1_image.png", PHOTOS[1], names[0]])
    assert [d.sample for d in mixed.deviations] == [names[1], "image 1", names[0]]
    assert mixed.deviations[0].mean == mixed.deviations[1].mean
    one = fm.check(graph("selfie"), samples=names[2])
    assert one.deviations[0].mean == report.deviations[2].mean


def test_bad_samples_and_tolerance_are_named(graph, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(fm.ImageError, match=r"broken\.png: "):
        fm.check(graph("selfie"), samples=tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        fm.check(graph("selfie"), samples=tmp_path / "nowhere")
    (tmp_path / "broken.png").unlink()
    with pytest.raises(fm.FastmatteError, match="no images in this folder"):
        fm.check(graph("selfie"), samples=tmp_path)
    with pytest.raises(fm.FastmatteError, match="samples: expected at least one image, got none"):
        fm.check(graph("selfie"), samples=[])
    for tolerance in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="tolerance: expected 0 to 1, got"):
            fm.check(graph("selfie"), tolerance=tolerance)


def run(*arguments):
    result = CliRunner().invoke(main, ["check", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result
    return result


def test_command_prints_a_line_a_sample_and_the_verdict(graph, skewed, tmp_path):
    skewed(lambda array: array * np.float32(0.9))
    for k, photo in enumerate(PHOTOS):
        Image.fromarray(photo).save(tmp_path / f"{k}.png")
    arguments = (graph("selfie"), "--engine", "openvino", "--samples", tmp_path)
    result = run(*arguments)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["sample", "size", "max", "mean", "SAD"]
    assert [line.split()[0] for line in lines[1:4]] == [
        str(tmp_path / f"{k}.png") for k in range(3)
    ]
    assert lines[4].startswith("worst")
    assert lines[5].startswith("openvino ")
    assert " against onnxruntime " in lines[5]
    assert lines[6].startswith("failed: a mean of 0.0")
    assert lines[6].endswith("is above 0.0039")
    passing = run(*arguments, "--tolerance", "0.2")
    assert passing.exit_code == 0
    assert passing.stdout.splitlines()[-1].endswith("is within 0.2")


def test_command_prints_json(graph, skewed, tmp_path):
    skewed(lambda array: array * np.float32(0.9))
    Image.fromarray(PHOTOS[0]).save(tmp_path / "a.png")
    arguments = (graph("selfie"), "--engine", "openvino", "--samples", tmp_path / "a.png", "--json")
    result = run(*arguments)
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["passed"] is False
    assert document["failure"] is None
    assert document["tolerance"] == 1 / 255
    assert document["matter"]["engine"] == "openvino"
    assert document["reference"]["engine"] == "onnxruntime"
    [deviation] = document["deviations"]
    assert deviation["size"] == [40, 60]
    assert document["mean"] == deviation["mean"] > 1 / 255
    assert json.loads(run(*arguments, "--tolerance", "0.5").stdout)["passed"] is True


def test_command_says_what_is_wrong(graph, skewed, tmp_path):
    (tmp_path / "b.png").write_bytes(b"no")
    result = run(graph("selfie"), "--samples", tmp_path)
    assert result.exit_code == 1
    assert f"Error: {tmp_path / 'b.png'}: " in result.stderr
    assert run(tmp_path / "none.onnx").stderr.endswith("none.onnx: no such model file\n")
    assert run(graph("selfie"), "--tolerance", "2").exit_code == 2
    assert run(graph("selfie"), "--precision", "fp8").exit_code == 2
    result = run(graph("selfie"), "--engine", "onnxruntime", "--device", "cuda:1")
    assert "device: expected None, for engine 'onnxruntime' runs on the processor" in result.stderr
    skewed(lambda array: array * np.float32("nan"))
    result = run(graph("selfie"), "--engine", "openvino")
    assert result.exit_code == 1
    assert "failed: portrait 0.0: " in result.stdout


@pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")
def test_a_terminal_sees_a_table(graph):
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "fastmatte", "check", str(graph("selfie"))],
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    assert process.wait(120) == 0
    os.close(theirs)
    seen = os.read(ours, 65536).decode()
    os.close(ours)
    assert "portrait 3.1" in seen
    assert "passed: a mean of" in seen


def test_portraits_are_the_same_every_time_and_move():
    first, again = (Sitter((90, 70), seed=3) for _ in range(2))
    portrait = first.frame(2)
    assert (portrait.image.shape, portrait.image.dtype) == ((90, 70, 3), np.uint8)
    assert (portrait.alpha.shape, portrait.alpha.dtype) == ((90, 70), np.float32)
    np.testing.assert_array_equal(again.frame(2).image, portrait.image)
    assert 0 <= portrait.alpha.min() < portrait.alpha.max() <= 1
    assert 0.1 < portrait.alpha.mean() < 0.5
    assert np.abs(first.frame(0).alpha - portrait.alpha).max() > 0.3
    outside = portrait.alpha == 0
    change = np.abs(portrait.image.astype(int) - portrait.background)[outside]
    assert change.mean() < 4  # noise of three levels


@pytest.mark.parametrize(
    "name", ["mediapipe_selfie_256_nchw", "pp_humanseg_lite", "csnet-L-x2", "rvm_mobilenetv3_fgf"]
)
def test_real_networks_find_the_drawn_person_and_openvino_agrees(shared_data, name):
    if ENGINES["openvino"].version() is None:
        pytest.skip("not installed: openvino")
    path = shared_data / "models" / f"{name}.onnx"
    report = fm.check(path, engine="openvino", tolerance=1e-6)
    assert report.passed, report
    portrait = Sitter(proof.BUILT_IN[0][0], seed=0).frame(0)
    alpha = fm.Matter(path, engine="onnxruntime").alpha(portrait.image)
    assert alpha[portrait.alpha == 1].mean() > 0.4 > 0.1 > alpha[portrait.alpha == 0].mean()
