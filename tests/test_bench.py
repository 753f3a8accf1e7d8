"""fastmatte bench: peers do the same work, and the table says what was measured."""

from __future__ import annotations

import inspect
import io
import json
from dataclasses import replace
from importlib import import_module
from time import sleep

import fastmatte as fm
import numpy as np
import pytest
from click.testing import CliRunner
from fastmatte.benchmark import chart, peers, table
from fastmatte.benchmark.cases import CASES, Case
from fastmatte.benchmark.measure import Row, difference, measure
from fastmatte.benchmark.scene import SIZES, Scene
from fastmatte.cli import main
from PIL import Image

PLAIN = next(case for case in CASES if case.kernel == "composite")
PEERS = [(case, peer) for case in CASES for peer in case.peers]
SCENE = Scene(SIZES["512"])


@pytest.mark.parametrize(("case", "peer"), PEERS, ids=lambda value: value.name)
def test_peers_do_the_same_work(case, peer):
    if not peers.installed(peer.needs):
        pytest.skip(f"{peer.needs} is not installed")
    inputs, options = case.inputs(SCENE), case.options(SCENE)
    before = [array.copy() for array in inputs]
    ours = case.call(*inputs, **options, threads=1)
    theirs = peer.call(*inputs, **options)
    for array, copy in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert theirs.shape == ours.shape
    assert difference(case, inputs, ours, theirs) <= peer.within
    assert difference(case, inputs, ours, np.roll(theirs, 5, -2)) > peer.within


def test_every_kernel_has_a_row_and_every_row_a_name():
    kernels = {
        name
        for name, function in inspect.getmembers(fm.kernels, inspect.isfunction)
        if "threads" in inspect.signature(function).parameters
    }
    assert {case.kernel for case in CASES} == kernels
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.counted and case.operations > 0 for case in CASES)


def test_rows_say_what_was_measured():
    isas = fm.cpu.available()[:2]
    cases = [PLAIN, next(case for case in CASES if case.kernel == "guided_filter")]
    advanced = []
    rows = measure(
        cases,
        sizes=["512"],
        isas=isas,
        threads=[1, 2],
        seconds=0,
        advance=lambda: advanced.append(1),
    )
    assert len(advanced) == 2
    keys = [(row.kernel, row.isa, row.threads) for row in rows]
    assert keys == [(c.kernel, isa, n) for c in cases for isa in isas for n in (1, 2)]
    for row in rows:
        assert row.rounds >= 5
        assert row.milliseconds > 0
        assert (row.speed_up is None) == (row.at_once is None) == (row.threads == 1)
        assert row.growth is None
        assert row.at_least is row.of_bound is None
    composite, guided = rows[0], rows[-1]
    assert composite.bytes == 512 * 512 * (3 + 3 + 4 + 3)
    assert composite.operations == 17 * 512 * 512
    assert composite.scratch == 0
    assert guided.scratch > 0
    assert fm.cpu.active() == fm.cpu.available()[-1]


def test_figures_are_medians_of_rounds_and_of_runs(monkeypatch):
    """With times that are given: three rounds in each of three runs, each run slower."""
    runs = []

    def race(contenders, seconds):
        if contenders[0].calls[0].args[0].shape[0] == 512:
            runs.append(1)
        slower = np.array([1, 2, 30]) * len(runs)
        times = {"fastmatte": 1e-3, "cv2.blendLinear": 5e-3, "NumPy": 9e-3, "memcpy": 0.4e-3}
        times["at once"] = 1.25e-3
        larger = len(contenders[0].calls[0].args[0]) // 512
        return {
            (c.name, c.isa, c.threads): slower * times[c.name] * larger**2 / c.threads**0.5
            for c in contenders
        }

    monkeypatch.setattr("fastmatte.benchmark.measure._race", race)
    monkeypatch.setattr("fastmatte.benchmark.measure._rate", lambda isa: 1e12)
    monkeypatch.setattr(peers, "installed", lambda library: library != "cv2.ximgproc")
    monkeypatch.setattr(peers, "use_threads", lambda count: None)
    pytest.importorskip("cv2", reason="opencv-contrib-python-headless is not installed")
    rows = measure([PLAIN], sizes=["512", "1080p"], threads=[1, 2], runs=3)
    one, two, larger, _ = rows
    assert one.milliseconds == pytest.approx(4)
    assert one.peers == pytest.approx({"cv2.blendLinear": 20, "NumPy": 36})
    assert one.ratio == pytest.approx(5)
    assert (one.bound, one.bound_by) == (pytest.approx(1.6), "memory")
    assert one.share == pytest.approx(0.4)
    assert one.rounds == 9
    assert (one.speed_up, one.growth, one.copying_growth) == (None, None, None)
    assert one.at_once is None
    assert two.speed_up == pytest.approx(2**0.5)
    assert two.at_once == pytest.approx(2 * 2**0.5 / 1.25)
    assert larger.growth == pytest.approx(4 * 512**2 / (1080 * 1920))
    assert larger.copying_growth == pytest.approx(larger.growth)
    assert one.copying == pytest.approx(1.6)
    assert (one.at_least, one.of_bound) == (None, None)
    assert (larger.at_least, larger.of_bound) == (PLAIN.at_least, PLAIN.of_bound)
    assert (two.at_least, two.of_bound) == (None, None)


def test_calls_at_once_share_nothing():
    """With one that sleeps: two of them take no longer than one, whatever the threads."""
    seen = {1: set(), 2: set()}

    def call(image, *, out=None, threads):
        out = np.empty_like(image) if out is None else out
        seen[threads].add((image.ctypes.data, out.ctypes.data))
        sleep(0.01)
        return out

    case = Case("sleep", "", call, lambda scene: (scene.grey,), 1, "nothing")
    one, two = measure([case], sizes=["512"], threads=[1, 2], seconds=0)
    assert two.speed_up == pytest.approx(1, abs=0.3)
    assert two.at_once == pytest.approx(2, abs=0.6)
    assert two.milliseconds == pytest.approx(one.milliseconds, rel=0.3)
    inputs, outputs = zip(*seen[1], strict=True)
    assert len(set(inputs)) == len(set(outputs)) == len(seen[1]) == 3
    assert seen[2] < seen[1]
    # What one thread gains is not known where none was measured alone.
    [_, three] = measure([case], sizes=["512"], threads=[2, 1], seconds=0)
    assert three.at_once is None


def test_the_call_that_follows_anothers_does_not_count():
    """With one that takes longer after a call that was not its own."""
    before = []

    def call(image, *, out=None, threads):
        sleep(0.005 if before == [threads] else 0.04)
        before[:] = [threads]
        return np.empty_like(image) if out is None else out

    case = Case("sleep", "", call, lambda scene: (scene.grey,), 1, "nothing")
    for row in measure([case], sizes=["512"], threads=[2, 3], seconds=0):
        assert row.milliseconds < 20


ROW = Row(
    kernel="composite",
    work="image over image",
    size="1080p",
    isa="avx2",
    threads=1,
    milliseconds=2.0,
    peers={"one": 10.0, "two": 400.0, "three": None},
    differing={},
    ratio=5.0,
    at_least=6,
    bound=0.5,
    bound_by="memory",
    share=0.25,
    of_bound=0.2,
    bytes=10**6,
    copying=0.5,
    operations=1e6,
    scratch=1_500_000,
)


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, ("ratio",)),
        ({"ratio": 6.0}, ()),
        ({"ratio": None}, ()),
        ({"ratio": 6.0, "share": 0.19}, ("share",)),
        ({"ratio": 6.0, "threads": 2, "speed_up": 1.69}, ("speed_up",)),
        ({"ratio": 6.0, "threads": 4, "speed_up": 1.69}, ()),
        ({"ratio": 6.0, "threads": 2, "speed_up": 1.69, "size": "512"}, ()),
        ({"ratio": 6.0, "growth": 1.11, "copying_growth": 1.2}, ("growth",)),
        ({"ratio": 6.0, "growth": 0.9, "copying_growth": 1.2}, ()),
    ],
)
def test_what_falls_short_is_said(change, missed):
    row = replace(ROW, **change)
    assert row.missed == missed
    headings, [cells] = table.cells([row])
    assert sum(cell.missed for cell in cells) == len(missed)
    assert len(headings) == len(cells)


def test_a_row_in_words():
    headings, [cells] = table.cells([replace(ROW, differing={"two": 3.25})])
    texts = dict(zip(headings, (cell.text for cell in cells), strict=True))
    assert texts == {
        "kernel": "composite image over image",
        "size": "1080p",
        "ISA": "avx2",
        "threads": "1",
        "ms": "2.00",
        "peers, ms": "one 10.0, two 400 (differs by 3.2 levels), three not installed",
        "ratio": "5.00",
        "at least": "6, share 20%",
        "bound, ms": "0.500 memory",
        "share of bound": "25%",
        "scratch, MB": "1.50",
    }
    lines = table.markdown([ROW, replace(ROW, isa="sse4")]).splitlines()
    assert lines[0] == "Size 1080p, threads 1."
    assert lines[2].startswith("| kernel | ISA | ms |")
    assert "| **5.00** (missed) |" in lines[4]


def test_growth_in_words():
    larger = replace(ROW, size="4k", milliseconds=9.0, growth=1.125, copying_growth=1.5)
    headings, [_, line] = table.cells([ROW, larger])
    assert headings[-2:] == ["x time / pixel", "memcpy's"]
    assert [cell.text for cell in line[-2:]] == ["1.12", "1.50"]
    both, both_larger = (
        replace(row, threads=2, speed_up=1.6, at_once=at_once)
        for row, at_once in ((ROW, 1.69), (larger, 1.68))
    )
    rows = [ROW, both, larger, both_larger]
    headings, _, line = table.growth(rows).splitlines()
    assert headings == (
        "| kernel | 4K, ms | MB | GB/s | memcpy's | x time / pixel | memcpy's"
        " | 2 threads, 1080p | 2 at once | 2 threads, 4K | 2 at once |"
    )
    assert line == (
        "| composite image over image | 9.00 | 1.00 | 0.111 | 2.00 | **1.12** (missed) | 1.50"
        " | **1.60** (missed) | 1.69 | **1.60** (missed) | 1.68 |"
    )
    headings, [_, line] = table.cells([ROW, both])
    assert headings[-2:] == ["x fewer threads", "as many at once"]
    assert [cell.text for cell in line[-2:]] == ["1.60", "1.69"]
    assert table.beyond(rows).split("\n\n") == [
        "At 1080p below 1.7 with 2 threads, more than 5% below two calls at once:"
        " composite image over image.",
        "At 4K above 1.1 times the time, moving less than 50% of memcpy's bytes a second:"
        " composite image over image.",
        "At 4K below 1.7 with 2 threads, within 5% of two calls at once:"
        " composite image over image.",
    ]
    assert table.beyond([ROW, replace(larger, growth=1.0)]) == "No row is beyond its limit."


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"copying": 0.99}, "moving less than 50% of memcpy's bytes a second"),
        (
            {"copying": 1.0},
            "moving 50% of memcpy's bytes a second or more, growing no more than it",
        ),
        (
            {"copying": 1.0, "copying_growth": 1.14},
            "moving 50% of memcpy's bytes a second or more, growing more than it",
        ),
    ],
)
def test_memcpy_excuses_what_moves_bytes_as_fast(change, why):
    row = replace(ROW, size="4k", growth=1.15, copying_growth=1.15)
    said = "At 4K above 1.1 times the time, " + why + ": composite image over image."
    assert table.beyond([replace(row, **change)]) == said


def bench(*arguments):
    result = CliRunner().invoke(main, ["bench", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result
    return result


QUICK = ("--kernels", "--only", "quantise", "--seconds", 0, "--size", "512")


def test_the_table_as_json_text_and_chart(tmp_path):
    picture = tmp_path / "new" / "chart.png"
    result = bench(*QUICK, "--json", "--chart", picture, "--isa", "scalar", "--threads", 2)
    document = json.loads(result.stdout)
    [row] = document["rows"]
    assert (row["kernel"], row["size"], row["isa"], row["threads"]) == (
        "quantise",
        "512",
        "scalar",
        2,
    )
    assert row["peers"]["NumPy"] > 0
    assert row["missed"] == []
    assert document["machine"]["fastmatte"] == fm.__version__
    with Image.open(picture) as image:
        assert image.format == "PNG"
    assert "exists already" in bench(*QUICK, "--chart", picture).stderr
    head, line = bench(*QUICK, "--chart", picture, "--overwrite").stdout.splitlines()[:2]
    assert head.split()[:3] == ["kernel", "size", "ISA"]
    assert line.split()[:2] == ["quantise", "512"]


def test_bars_are_as_long_as_the_times():
    image = Image.open(io.BytesIO(chart.draw([ROW]))).convert("RGB")
    pixels = np.asarray(image).reshape(-1, image.width, 3)
    longest = {
        colour: (pixels == tuple(bytes.fromhex(colour[1:]))).all(-1).sum(1).max()
        for colour in (chart.OURS, chart.THEIRS)
    }
    # The axis begins at 0.1 ms and ends at 400: 2 ms is log(20) / log(4000) of the way. The mark of
    # the bound covers five pixels of it.
    share = longest[chart.OURS] / longest[chart.THEIRS]
    assert share == pytest.approx(np.log(20) / np.log(4000), abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "say what to measure: --kernels"),
        (("--kernels", "--only", "nothing"), 2, "no row is called that, but to_tensor area"),
        (("--kernels", "--chart", "chart.jpg"), 2, "expected a name that ends in .png"),
        (("--kernels", "--isa", "mmx"), 1, "isa: expected one of scalar"),
        (("--kernels", "--size", "8k"), 2, "'8k' is not one of"),
    ],
)
def test_usage(arguments, status, message):
    result = bench(*arguments)
    assert result.exit_code == status
    assert message in result.stderr


def test_scratch_is_counted():
    fm._core.release_stored_blocks()
    fm._core.take_peak_bytes()
    image = np.zeros((300, 400), np.uint8)
    out = np.empty_like(image)
    fm.kernels.blur(image, sigma=20, out=out, threads=1)
    first = fm._core.take_peak_bytes()
    assert first > 0
    assert fm._core.take_peak_bytes() == 0
    # A recycled block counts as one that is new.
    fm.kernels.blur(image, sigma=20, out=out, threads=1)
    assert fm._core.take_peak_bytes() == first


@pytest.mark.parametrize("module", ["families", "table", "pipeline_table"])
def test_readme_has_room_for_the_tables(module):
    from bench.readme import README

    part = import_module(f"bench.{module}").PART
    text = README.read_text()
    assert text.count(part.begin) == text.count(part.end) == 1
    assert part.replaced(part.replaced(text, "one"), "two") == part.replaced(text, "two")
    assert "\ntwo\n" in part.replaced(text, "two")


def test_table_of_calls_tells_how_much_longer_others_take():
    from bench.pipeline_table import section

    def row(contender, rest_ms, peak_mb):
        figures = {"whole_ms": 100 + rest_ms, "network_ms": 100.0, "rest_ms": rest_ms}
        return {"contender": contender, **figures, "peak_mb": peak_mb}

    def run(threads, name, peak_mb):
        rows = [row("fastmatte", 2.0, peak_mb), row("fastmatte, more", 4.0, peak_mb)]
        rows += [row("slow", 30.0, peak_mb), row("slower", 40.0, peak_mb)]
        machine = {"processor": "One", "numpy": "2"}
        groups = [{"group": name, "rows": rows}]
        return {"threads": threads, "size": [3, 4], "machine": machine, "groups": groups}

    lines = section([run(2, "c", None), run(1, "a", 7.0), run(1, "b", 8.0)]).splitlines()
    assert lines[0] == "4 x 3, 1 thread:"
    assert lines[4:8] == [
        "| a | fastmatte | 102.0 | 100.0 | 2.00 | 15.0 | 7 |",
        "|  | fastmatte, more | 104.0 | 100.0 | 4.00 | 7.5 | 7 |",
        "|  | slow | 130.0 | 100.0 | 30.00 |  | 7 |",
        "|  | slower | 140.0 | 100.0 | 40.00 |  | 7 |",
    ]
    assert lines[8].startswith("| b | ")
    assert lines[13] == "4 x 3, 2 threads:"
    assert lines[17] == "| c | fastmatte | 102.0 | 100.0 | 2.00 | 15.0 |"
    assert lines[-1] == "One; numpy 2."
