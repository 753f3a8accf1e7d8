"""fastmatte eval, and what is behind it: evaluation and report."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import fastmatte as fm
import numpy as np
import pytest
from click.testing import CliRunner
from fastmatte import evaluation, images, metrics, report
from fastmatte.cli import main
from PIL import Image

SIZE = (24, 31)


def write(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def alpha():
    """A matte, better or worse by how far it is moved."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return lambda moved=0: np.where(np.hypot(y - 12, x - 15 - moved) < 8, 255, 40).astype(np.uint8)


@pytest.fixture
def folders(tmp_path, alpha):
    """Three predictions, b the worst, and all that goes with them."""
    for name, moved in {"a": 1, "b": 5, "c": 0}.items():
        write(tmp_path / "mattes" / f"{name}.png", alpha(moved))
        write(tmp_path / "truth" / f"{name}.png", alpha())
        write(tmp_path / "photos" / f"{name}.jpg", np.dstack([alpha()] * 3))
        trimap = np.full(SIZE, 128, np.uint8)
        trimap[:, :15] = 0
        write(tmp_path / "trimaps" / f"{name}.png", trimap)
    return tmp_path


def run(*arguments):
    result = CliRunner().invoke(main, ["eval", *map(str, arguments)])
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


def pairs(*arguments, **options):
    return [
        (p.name, *(f.name for f in (p.truth, p.alpha, p.image, p.trimap) if f is not None))
        for p in evaluation.pair_files(*arguments, **options)
    ]


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_pairs_by_stem(folders):
    found = pairs(
        folders / "truth",
        predictions=folders / "mattes",
        images=folders / "photos",
        trimaps=folders / "trimaps",
    )
    assert found[0] == ("a", "a.png", "a.png", "a.jpg", "a.png")
    assert [name for name, *_ in found] == ["a", "b", "c"]


def test_pairs_within_one_folder(tmp_path):
    names = [f"{n}_{e}.png" for n in "xy" for e in ("alpha", "image", "trimap", "bg", "fg")]
    folder = touch(tmp_path / "all", *names, ".hidden.png", "notes.txt")
    found = pairs(folder, predictions=folder, images=folder, trimaps=folder)
    assert found[1] == ("y", "y_alpha.png", "y_alpha.png", "y_image.png", "y_trimap.png")
    # Predictions are often called as the photo they were made from.
    mattes = touch(tmp_path / "mattes", "x_image.png", "y_image.webp")
    assert pairs(folder, predictions=mattes) == [
        ("x", "x_alpha.png", "x_image.png"),
        ("y", "y_alpha.png", "y_image.webp"),
    ]


@pytest.mark.parametrize(
    ("mattes", "truth", "message"),
    [
        ("a.png", "a.png b.png c.png", "mattes: nothing of the name of b.png, c.png in .*truth"),
        ("a.png b_alpha.png", "a.png", "mattes: some names end in _alpha, and these in none of .*"),
        ("a.png z.jpg", "a.png", "truth: nothing of the name of z.jpg in .*mattes"),
        ("a.png a.jpg", "a.png", "mattes: a.jpg and a.png are of one name"),
        ("a_image.png a.png", "a.png", "mattes: a.png and a_image.png are of one name"),
        ("notes.txt", "a.png", "mattes: no images in this folder"),
        ("a.png", " ".join(f"{i}.png" for i in range(9)), r"0.png, .*, 4.png and 4 more in"),
    ],
)
def test_what_does_not_pair_is_an_error(tmp_path, mattes, truth, message):
    touch(tmp_path / "mattes", *mattes.split())
    touch(tmp_path / "truth", *truth.split())
    with pytest.raises(fm.FastmatteError, match=message):
        pairs(tmp_path / "truth", predictions=tmp_path / "mattes")


def test_alpha_files(tmp_path, alpha):
    matte = alpha()
    grey = np.dstack([matte] * 3)
    profile = (
        # Enough of a grey profile to be looked at: read() would turn the levels into sRGB by it.
        b"\0" * 12 + b"mntrGRAYXYZ " + b"\0" * 104
    )
    files = {
        "grey.png": (matte, {}),
        "rgb.png": (grey, {}),
        "cutout.png": (np.dstack([grey // 2, matte]), {}),
        "profile.png": (matte, {"icc_profile": profile}),
        "deep.png": ((matte.astype(np.uint16) * 257), {}),
    }
    for name, (pixels, options) in files.items():
        write(tmp_path / name, pixels, **options)
        np.testing.assert_array_equal(images.read_alpha(tmp_path / name), matte, err_msg=name)
    exif = Image.Exif()
    exif[0x0112] = 3
    write(tmp_path / "turned.png", matte[::-1, ::-1].copy(), exif=exif)
    np.testing.assert_array_equal(images.read_alpha(tmp_path / "turned.png"), matte)
    coloured = grey.copy()
    coloured[0, 0] = (1, 2, 3)
    write(tmp_path / "photo.png", coloured)
    with pytest.raises(fm.ImageError, match="coloured: an alpha is grey, or a transparency"):
        images.read_alpha(tmp_path / "photo.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(fm.ImageError, match="empty"):
        images.read_alpha(tmp_path / "empty.png")


def test_scores_are_the_metrics(folders, alpha):
    result = run(folders / "mattes", folders / "truth", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert [row["name"] for row in document["images"]] == ["b", "a", "c"]
    for row, moved in zip(document["images"], (5, 1, 0), strict=True):
        assert row["size"] == list(SIZE)
        for name in metrics.__all__:
            if name != "dtssd":
                assert row[name] == getattr(metrics, name)(alpha(moved), alpha())
    for name in ("sad", "mse", "mad", "grad", "conn"):
        values = [row[name] for row in document["images"]]
        assert document["mean"][name] == pytest.approx(np.mean(values), rel=1e-12)
        assert document["median"][name] == np.median(values)
    assert document["matter"] is None


def test_trimaps_narrow_what_counts(folders, alpha):
    result = run(folders / "mattes", folders / "truth", "--trimaps", folders / "trimaps", "--json")
    trimap = images.read_alpha(folders / "trimaps" / "b.png")
    [worst, *_] = json.loads(result.stdout)["images"]
    assert worst["sad"] == metrics.sad(alpha(5), alpha(), trimap=trimap)
    assert worst["sad"] < metrics.sad(alpha(5), alpha())


def test_table_is_worst_first(folders, alpha):
    result = run(folders / "mattes", folders / "truth")
    heading, *rows = result.stdout.splitlines()
    assert heading.split() == ["SAD", "MSE", "x1000", "MAD", "x1000", "Grad", "Conn"]
    assert [row.split()[0] for row in rows] == ["b", "a", "c", "mean", "median"]
    assert rows[0].split()[3] == f"{1000 * metrics.mad(alpha(5), alpha()):.2f}"


def test_a_network_that_needs_a_trimap_is_given_the_pairs(folders, graph):
    images, trimaps = folders / "photos", folders / "trimaps"
    arguments = ("--model", graph("dim"), "--images", images, "--json", folders / "truth")
    result = run(*arguments, "--trimaps", trimaps)
    assert result.exit_code == 0, result.output
    assert {row["name"] for row in json.loads(result.stdout)["images"]} == {"a", "b", "c"}
    assert "trimap: expected a trimap" in run(*arguments).stderr


def test_a_network_is_judged_on_images(folders, graph):
    result = run(
        *("--model", graph("modnet"), "--size", "32", "--threads", 1),
        *("--images", folders / "photos", folders / "truth", "--json"),
    )
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["matter"]["family"] == "modnet"
    matter = fm.Matter(graph("modnet"), size=(32, 32), threads=1)
    rows = {row["name"]: row for row in document["images"]}
    photo = images.read(folders / "photos" / "b.jpg").pixels
    truth = images.read_alpha(folders / "truth" / "b.png")
    assert rows["b"]["mad"] == metrics.mad(matter(photo).alpha, truth)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mattes"], "expected the folders PREDICTIONS and TRUTH"),
        (["mattes", "truth", "photos"], "expected the folders PREDICTIONS and TRUTH"),
        (["truth", "--model", "x.onnx"], "name their folder with --images"),
        (["mattes", "truth", "--report", "truth/a.png"], "expected a name that ends in .html"),
        (["a", "truth", "--model", "x.onnx", "--images", "photos"], "the only folder is TRUTH"),
    ],
)
def test_usage_errors(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def bad_size(folders, alpha):
    write(folders / "mattes" / "b.png", alpha()[:-1])
    return "mattes/b.png: 23 x 31, but .*truth/b.png is 24 x 31"


def bad_photo_size(folders, alpha):
    write(folders / "photos" / "b.jpg", np.zeros((3, 4, 3), np.uint8))
    return "photos/b.jpg: 3 x 4, but .*truth/b.png is 24 x 31"


def coloured(folders, alpha):
    write(folders / "mattes" / "b.png", np.arange(2232, dtype=np.uint8).reshape(24, 31, 3))
    return "mattes/b.png: the image is coloured"


def no_image(folders, alpha):
    (folders / "truth" / "b.png").write_bytes(b"text")
    return "truth/b.png: not an image"


def bad_trimap(folders, alpha):
    write(folders / "trimaps" / "b.png", alpha())
    return "trimaps/b.png: trimap: expected nothing but 0, 128 and 255, got 40"


def known_trimap(folders, alpha):
    write(folders / "trimaps" / "b.png", np.zeros(SIZE, np.uint8))
    return "trimaps/b.png: trimap: expected some pixels of 128, unknown, got none"


def unpaired(folders, alpha):
    (folders / "mattes" / "b.png").unlink()
    return "mattes: nothing of the name of b.png in .*truth"


def no_folder(folders, alpha):
    (folders / "photos").rename(folders / "moved")
    return "photos: No such file or directory"


@pytest.mark.parametrize(
    "spoil",
    [
        *(bad_size, bad_photo_size, coloured, no_image),
        *(bad_trimap, known_trimap, unpaired, no_folder),
    ],
)
def test_bad_files_are_one_line_and_1(folders, alpha, spoil):
    message = spoil(folders, alpha)
    goal = folders / "report.html"
    result = run(
        *(folders / "mattes", folders / "truth", "--images", folders / "photos"),
        *("--trimaps", folders / "trimaps", "--report", goal, "--json"),
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(f"Error: .*{message}.*\n", result.stderr), result.stderr
    assert not goal.exists()


def test_a_pair_without_alpha_needs_a_matter(folders):
    [pair, *_] = evaluation.pair_files(folders / "truth", images=folders / "photos")
    with pytest.raises(ValueError, match="pair: expected an alpha, or an image and a matter"):
        evaluation.compare(pair)


class Page(HTMLParser):
    """What a page holds: tags with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "input", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def picture(uri):
    kind, data = uri.removeprefix("data:").split(";base64,")
    return kind, Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.fixture
def page(folders):
    goal = folders / "report.html"
    result = run(
        *(folders / "mattes", folders / "truth", "--images", folders / "photos"),
        *("--report", goal),
    )
    assert result.exit_code == 0, result.stderr
    return goal.read_text("utf-8")


def test_report_holds_everything_itself(page):
    found = Page(page)
    assert not {tag for tag, _ in found.tags} & {"script", "link", "iframe", "object"}
    assert all(uri["src"].startswith("data:image/") for uri in found.all("img"))
    assert all(link["href"].startswith("#image-") for link in found.all("a"))
    assert not re.search(r"https?://|url\(|@import", page)
    # Enforced by the browser, too.
    assert "default-src 'none'; img-src data:" in found.all("meta")[-1]["content"]
    assert "prefers-color-scheme: dark" in page


def test_report_has_a_row_an_image_worst_first(page, alpha):
    found = Page(page)
    assert [a["id"] for a in found.all("article")] == ["image-1", "image-2", "image-3"]
    kinds = [f["class"] for f in found.all("figure")]
    assert kinds == ["image", "alpha", "truth", "difference", "cutout"] * 3
    assert re.findall(r"\d\. (\w)24", found.text) == ["b", "a", "c"]
    assert f"{1000 * metrics.mad(alpha(5), alpha()):.2f}" in found.text
    assert len(found.all("input")) == 15


def test_report_pictures_show_what_they_say(page, alpha):
    shown = [picture(img["src"]) for img in Page(page).all("img")[:5]]
    assert [kind for kind, _ in shown] == ["image/jpeg"] * 3 + ["image/png", "image/jpeg"]
    assert all(image.size == SIZE[::-1] for _, image in shown)
    rgba = np.asarray(shown[3][1].convert("RGBA")).astype(int)
    over, under = alpha(5) > alpha(), alpha(5) < alpha()
    assert (rgba[over] == (*report.TOO_OPAQUE, 255)).all()
    assert (rgba[under] == (*report.TOO_TRANSPARENT, 255)).all()
    same = ~(over | under)
    assert (rgba[same & (alpha() < 128), 3] == 0).all()
    assert (rgba[same & (alpha() > 128)] == (*report.HINT, report.HINT_OPACITY)).all()
    cutout = np.asarray(shown[4][1]).astype(int)
    # Alpha is 40 of 255 there: most of it is the loud colour.
    assert np.abs(cutout[0, 0] - report.LOUD).max() < 60


def test_report_without_images_has_three_pictures(folders):
    goal = folders / "report.html"
    arguments = (folders / "mattes", folders / "truth", "--trimaps", folders / "trimaps")
    assert run(*arguments, "--report", goal).exit_code == 0
    found = Page(goal.read_text("utf-8"))
    kinds = [f["class"] for f in found.all("figure")]
    assert kinds == ["alpha", "truth", "difference"] * 3
    # What the trimap leaves out is not painted.
    _, difference = picture(found.all("img")[2]["src"])
    rgba = np.asarray(difference.convert("RGBA"))
    assert not (rgba[:, :15, :3] == report.TOO_TRANSPARENT).all(-1).any()
    assert (rgba[:, 15:, :3] == report.TOO_OPAQUE).all(-1).any()


def test_report_makes_its_folder_and_has_a_title(folders, monkeypatch):
    monkeypatch.chdir(folders / "mattes")
    assert run(".", "../truth", "--report", "deep/er/x.html").exit_code == 0
    page = (folders / "mattes" / "deep" / "er" / "x.html").read_text("utf-8")
    assert "<title>mattes against truth</title>" in page


def test_report_is_not_replaced_unasked(folders):
    goal = folders / "report.html"
    goal.write_text("mine")
    arguments = (folders / "mattes", folders / "truth", "--report", goal)
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "report.html: exists already" in result.stderr
    assert goal.read_text() == "mine"
    assert run(*arguments, "--overwrite").exit_code == 0
    assert goal.read_text("utf-8").startswith("<!doctype html>")
    assert {f.name for f in folders.iterdir()} == {
        *("mattes", "truth", "photos", "trimaps", "report.html")
    }


def test_report_shrinks_pictures_and_escapes_names(alpha):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (2 * report.LONGEST, 30), np.uint8)
    scores = evaluation.Scores(0, 0, 0, 0, 0)
    name = '<b>"&x'
    comparison = evaluation.Comparison(
        name, truth / np.float32(255), truth, np.dstack([truth] * 3), None, scores
    )
    figure = report.figure(comparison)
    assert figure.size == truth.shape
    assert {p.size for p in figure.pictures} == {(report.LONGEST, 15)}
    page = report.render([figure] * 20, title=name, facts={name: name})
    found = Page(page)
    # Those of the legend have a class.
    assert all(attributes for attributes in found.all("b"))
    assert found.text.count(name) >= 22
    assert found.all("img")[0]["alt"] == f"Image of {name}"
    assert page == report.render([figure] * 20, title=name, facts={name: name})


def test_json_goes_alone_to_stdout(folders):
    result = subprocess.run(
        [sys.executable, "-m", "fastmatte", "eval", "--json", "mattes", "truth"],
        cwd=folders,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout)["images"]
    assert result.stderr == ""


def test_real_network_on_real_images(shared_data):
    """The figures that this network is known for; a ruler that moves is broken."""
    folder = shared_data / "images" / "eval"
    matter = fm.Matter(shared_data / "models" / "mediapipe_selfie_256_nchw.onnx")
    comparisons = [
        evaluation.compare(pair, matter=matter)
        for pair in evaluation.pair_files(folder, images=folder, trimaps=folder)
    ]
    assert len(comparisons) >= 5
    for comparison in comparisons:
        whole = metrics.mad(comparison.alpha, comparison.truth)
        assert whole < comparison.scores.mad < 0.3
    whole = [metrics.mad(c.alpha, c.truth) for c in comparisons]
    assert 0.02 < np.mean(whole) < 0.05
