"""README's tour runs as it stands, and its commands are the ones the project has."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import fastmatte as fm
import graphs
import numpy as np
import pytest
from fastmatte.engines import ENGINES
from PIL import Image

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_tour_runs(tmp_path, monkeypatch, capsys):
    tour, _ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in tour.splitlines() if line.strip()]) <= 16
    monkeypatch.chdir(tmp_path)
    photo = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(photo).save("photo.jpg")
    names = {"frames": [photo, photo], "canvas": np.empty_like(photo)}
    exec(tour, names)
    with Image.open("cutout.png") as cutout:
        assert cutout.mode == "RGBA"
    assert names["alpha"].shape == (90, 120)
    assert names["canvas"].any()
    assert capsys.readouterr().out.split()[0] in ENGINES


def test_live_tour_runs(tmp_path, capsys):
    _, tour = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    frame = np.zeros((90, 120, 3), np.uint8)
    frames = iter([frame, frame, None])

    class Camera:
        def read(self):
            return next(frames)

    names = {
        "matter": fm.Matter(graphs.modnet(tmp_path / "modnet.onnx")),
        "camera": Camera(),
        "background": (0, 177, 64),
        "canvas": frame.copy(),
    }
    # However long the first frame takes here.
    for hasty, patient in (("ms=40", "ms=60_000"), ("latest()", "latest(wait_ms=60_000)")):
        tour = tour.replace(hasty, patient)
    exec(tour, names)
    assert names["canvas"].any()
    assert capsys.readouterr().out.split()[:2] == ["2", "0"]


SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))


@pytest.mark.parametrize("verb", sorted(set(re.findall(r"^fastmatte (\w+)", SHELL, re.MULTILINE))))
def test_verbs_exist(verb):
    result = subprocess.run(
        [sys.executable, "-m", "fastmatte", verb, "--help"], capture_output=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_families_are_the_ones_there_are():
    from bench import families

    written = families.PART.replaced(README, families.section())
    assert written == README, "python -m bench.families writes the table"
