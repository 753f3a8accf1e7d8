"""The training code at a tiny size; without torch, which fastmatte never needs, all is skipped."""

from __future__ import annotations

from pathlib import Path

import fastmatte as fm
import numpy as np
import oracles
import pytest

torch = pytest.importorskip("torch", reason="torch is for training only")
for needed in ("onnx", "scipy", "matplotlib"):
    pytest.importorskip(needed)

from training import compose, data, export, keying, network, procedural, train, validate  # noqa: E402

CPU = torch.device("cpu")
TINY = network.Shape(8, (8, 8, 16, 16), (0, 1, 1, 1), 2, (3, 3, 3, 3), (8, 8, 8))


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of noise: two pictures of a kind for training, two held out."""
    random = np.random.default_rng(0)
    records = []
    for kind in data.KINDS:
        for index in range(4):
            height, width = (64, 48) if kind != "background" else (data.SIDES[kind],) * 2
            pixels = random.integers(0, 256, (height, width, 3), np.uint8)
            if kind != "background":
                alpha = np.zeros((height, width), np.uint8)
                alpha[8:, 8:40] = 255
                pixels = np.dstack([pixels, alpha])
            encoded = data.encode(pixels)
            records.append(data.Record(kind, f"{kind}_{index}", index >= 2, encoded))
    folder = tmp_path_factory.mktemp("pack")
    data.write_pack(records, folder)
    return folder


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (160, 32)])
def test_student_keeps_the_size_and_stays_in_range(size):
    alpha = network.Student(TINY).eval()(torch.rand(2, 3, *size) * 2 - 1)
    assert alpha.shape == (2, 1, *size)
    assert 0 <= float(alpha.min().detach()) <= float(alpha.max().detach()) <= 1


def test_every_shape_may_be_shipped():
    for shape in network.SHAPES.values():
        weights = sum(p.numel() for p in network.Student(shape).parameters())
        assert 4 * weights < export.LARGEST


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_export_is_a_modnet_to_fastmatte(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "student.onnx"
    export.export(network.Student(TINY), path)
    matter = fm.Matter(path)
    assert matter.info.family == "modnet"
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    assert matter(image).alpha.shape == (70, 90)


def test_a_pack_gives_back_what_was_written(pack):
    stores = data.load(pack, held_out=True)
    assert {kind: store.names for kind, store in stores.items()} == {
        kind: (f"{kind}_2", f"{kind}_3") for kind in data.KINDS
    }
    person = stores["person"]
    # Bottom centred, alpha exact.
    found = person.pixels[0, -64:, 200:248, 3].numpy()
    assert found[8:, 8:40].min() == 255
    assert int(person.pixels[0, ..., 3].long().sum()) == 255 * 56 * 32


def test_pieces_stay_small_enough_to_carry(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "PIECE_BYTES", 1000)
    records = [data.Record("thing", str(i), False, bytes(400)) for i in range(5)]
    assert len(data.write_pack(records, tmp_path)) == 3
    assert data.read_pack(tmp_path) == records


def test_a_step_makes_the_same_batch_again(pack):
    stores = data.load(pack, held_out=False)
    one, other = (compose.Composer(stores, CPU, seed=3).batch(5, 8, 64) for _ in range(2))
    assert torch.equal(one.image, other.image)
    assert torch.equal(one.alpha, other.alpha)
    assert one.image.shape == (8, 3, 64, 64)
    assert float(one.image.abs().max()) <= 1 + 1e-6
    assert one.soft.tolist() == [False] * 6 + [True] * 2
    different = compose.Composer(stores, CPU, seed=3).batch(6, 8, 64)
    assert not torch.equal(one.image, different.image)


def test_empty_images_have_no_alpha(pack):
    composer = compose.Composer(data.load(pack, held_out=False), CPU, seed=0)
    assert not composer.batch(0, 4, 64, soft=0, empty=1).alpha.any()


def test_a_resumed_run_goes_on_as_if_never_stopped(pack, tmp_path, monkeypatch):
    monkeypatch.setitem(network.SHAPES, "tiny", TINY)
    composer = compose.Composer(data.load(pack, held_out=False), CPU, seed=1)
    settings = train.Settings(shape="tiny", steps=6, batch=4, sides=(64, 32), warmup=2)
    run = train.Run(tmp_path, settings, CPU)
    for step in range(6):
        if step == 3:
            run.save()
        run.advance(composer)
    again = train.Run.resumed(tmp_path, CPU)
    assert again.step == 3
    assert again.settings == settings
    for _ in range(3):
        again.advance(composer)
    for one, other in ((run.student, again.student), (run.average, again.average)):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_training_writes_log_curves_and_checkpoints(pack, tmp_path, monkeypatch):
    monkeypatch.setitem(network.SHAPES, "tiny", TINY)
    settings = train.Settings(shape="tiny", steps=2, batch=4, sides=(32,), warmup=1)
    run = train.Run(tmp_path, settings, CPU)
    train.train(run, pack, minutes=9, every=1, validation_count=4, validation_side=32)
    rows = (tmp_path / train.LOG).read_text().splitlines()
    assert rows[0].split(",")[:3] == ["step", "seconds", "rate"]
    assert [row.split(",")[0] for row in rows[1:]] == ["1", "2"]
    for name in (train.CURVES, train.BEST, train.CHECKPOINT, "validation.png"):
        assert (tmp_path / name).stat().st_size


def test_validation_is_of_people_and_of_nobody(pack):
    stores = data.load(pack, held_out=True)
    figures, shown = validate.Validation(stores, CPU, count=4, side=32).measure(validate.nobody)
    assert figures.mad > 0
    assert figures.empty == 0
    assert not shown.alpha.any()


def test_gradient_error_is_that_of_the_metrics():
    random = np.random.default_rng(1)
    alpha, truth = random.random((2, 40, 33), np.float32)
    assert validate.gradient_error(alpha, truth) == pytest.approx(
        float(oracles.grad(alpha, truth)), rel=1e-6
    )


def test_losses_are_zero_for_the_truth_and_only_there():
    truth = torch.zeros(1, 1, 64, 64)
    truth[..., 16:48, 16:48] = 1
    settings = train.Settings()
    assert float(train.exact_loss(truth, truth, settings)) == 0
    assert float(train.exact_loss(truth.roll(1, 3), truth, settings)) > 0
    # The teacher's edge may be anywhere near.
    assert float(train.soft_loss(truth.roll(1, 3), truth)) == 0
    assert float(train.soft_loss(1 - truth, truth)) > 0.9


def test_keying_recovers_alpha_over_a_backdrop():
    height, width = 205, 168
    y, x = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot(x - width / 2, (y - 0.75 * height) * 0.7)
    # Soft above as hair, hard below as cloth: a wide edge there would be refused.
    alpha = ((62 - distance) / np.where(y < 0.6 * height, 8, 1.5) + 0.5).clip(0, 1)
    backdrop = np.stack([100 + x / 8, 130 - y / 20, 225 - x / 10], -1)
    person = np.array([90, 60, 45], np.float32)
    image = alpha[..., None] * person + (1 - alpha[..., None]) * backdrop
    image += np.random.default_rng(0).normal(0, 1.5, image.shape)
    keyed = keying.key(image.clip(0, 255).astype(np.uint8), alpha.astype(np.float32))
    found = keyed.rgba[..., 3] / 255
    assert np.abs(found - alpha).mean() < 0.01
    assert np.abs(found - alpha).max() < 0.15
    edge = (alpha > 0.4) & (alpha < 1)
    assert np.abs(keyed.rgba[edge][:, :3] - person).mean() < 8


def test_keying_refuses_what_is_not_blue():
    image = np.full((100, 80, 3), 128, np.uint8)
    soft = np.zeros((100, 80), np.float32)
    soft[50:, 20:60] = 1
    with pytest.raises(keying.RefusedError, match="not blue"):
        keying.key(image, soft)


def test_tufts_are_opaque_inside_and_soft_outside():
    rgba = procedural.tuft(np.random.default_rng(0))
    alpha = rgba[..., 3]
    assert alpha[128, 128] == 255
    assert alpha[0].max() == 0
    assert ((alpha > 0) & (alpha < 255)).mean() > 0.02
