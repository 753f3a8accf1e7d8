"""The training code at a tiny size; without torch, which fastmatte never needs, all is skipped."""

from __future__ import annotations

from pathlib import Path

import fastmatte as fm
import numpy as np
import oracles
import pytest

torch = pytest.importorskip("torch", reason="torch is for training only")
for needed in ("onnx", "scipy", "matplotlib", "cv2", "av", "pymatting"):
    pytest.importorskip(needed)

from training import (  # noqa: E402
    blend,
    compose,
    data,
    export,
    keying,
    losses,
    network,
    procedural,
    selfie,
    teacher,
    train,
    validate,
    walkers,
)

CPU = torch.device("cpu")
SHARED = Path(__file__).parents[2] / "shared" / "data"
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


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (160, 32)])
def test_portrait_keeps_the_size_and_stays_in_range(size):
    alpha = network.Portrait().eval()(torch.rand(2, 3, *size) * 2 - 1)
    assert alpha.shape == (2, 1, *size)
    assert 0 <= float(alpha.min().detach()) <= float(alpha.max().detach()) <= 1


def test_a_new_portrait_says_what_its_trunk_says():
    portrait = network.Portrait().eval()
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        corrected, coarse = portrait.logits(image)
    assert coarse.shape == (1, 1, 32, 32)
    assert torch.equal(corrected, coarse.clamp(-6, 6))


def test_the_trunk_computes_what_was_published():
    onnxruntime = pytest.importorskip("onnxruntime")
    path = SHARED / teacher.MODEL
    if not path.exists():
        pytest.skip("the published weights are not beside the checkout")
    trunk = selfie.Trunk().eval()
    selfie.load_published(trunk, SHARED)
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"pixel_values": image.numpy()})
    with torch.no_grad():
        found = torch.sigmoid(trunk(image)[2]).numpy()
    assert np.abs(found - expected).max() < 1e-4


def test_a_blend_lies_between_what_was_published_and_what_was_trained():
    if not (SHARED / teacher.MODEL).exists():
        pytest.skip("the published weights are not beside the checkout")
    torch.manual_seed(0)
    trained = network.Portrait().eval()
    published = network.Portrait()
    published.load_state_dict(trained.state_dict())
    selfie.load_published(published.trunk, SHARED)
    with torch.no_grad():
        for block in trained.trunk.added:
            torch.nn.init.normal_(block.sub_block.conv3.weight)
    image = torch.rand(1, 3, 64, 64)
    whole, none = (blend.blended(trained, SHARED, share).eval() for share in (1.0, 0.0))
    with torch.no_grad():
        for found, expected in zip(whole.trunk(image), trained.trunk(image), strict=True):
            assert torch.allclose(found, expected, atol=1e-5)
        for found, expected in zip(none.trunk(image), published.eval().trunk(image), strict=True):
            assert torch.allclose(found, expected, atol=1e-5)
    middle = blend.blended(trained, SHARED, 0.25).trunk.conv7.weight
    expected = published.trunk.conv7.weight + 0.25 * (
        trained.trunk.conv7.weight - published.trunk.conv7.weight
    )
    assert torch.allclose(middle, expected, atol=1e-6)
    assert torch.equal(whole.head.weight, trained.head.weight)


def test_every_network_may_be_shipped():
    for name in network.NAMES:
        weights = sum(p.numel() for p in network.build(name).parameters())
        assert 4 * weights < export.LARGEST


@pytest.mark.filterwarnings("ignore")
def test_export_of_a_portrait_is_known_and_read_at_half_its_size(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "portrait.onnx"
    portrait = network.Portrait()
    torch.nn.init.normal_(portrait.head.weight, std=0.1)
    export.export(portrait, path)
    matter = fm.Matter(path, refine="none")
    assert matter.info.family == "portrait"
    image = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    seen = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        expected = portrait.eval()(seen)[0, 0].numpy()
    np.testing.assert_allclose(matter.alpha(image), expected, atol=1e-4)


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
    assert {kind: [picture.name for picture in store] for kind, store in stores.items()} == {
        kind: [f"{kind}_2", f"{kind}_3"] for kind in data.KINDS
    }
    person = stores["person"][0]
    assert person.size == (64, 48)
    alpha = person.levels[0][..., 3]
    assert alpha[8:, 8:40].min() == 255
    assert int(alpha.astype(int).sum()) == 255 * 56 * 32
    # Premultiplied: nothing shows where nobody is.
    assert not person.levels[0][:8].any()


def test_pieces_stay_small_enough_to_carry(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "PIECE_BYTES", 1000)
    records = [data.Record("thing", str(i), False, bytes(400)) for i in range(5)]
    assert len(data.write_pack(records, tmp_path)) == 3
    assert data.read_pack(tmp_path) == records


def test_a_step_makes_the_same_batch_again(pack):
    stores = data.load(pack, held_out=False)
    one, other = (compose.Composer(stores, seed=3).batch(5, 8, (64, 96)) for _ in range(2))
    assert torch.equal(one.image, other.image)
    assert torch.equal(one.alpha, other.alpha)
    assert torch.equal(one.soft, other.soft)
    assert one.image.shape == (8, 3, 64, 96)
    assert one.alpha.shape == (8, 1, 64, 96)
    assert float(one.image.abs().max()) <= 1 + 1e-6
    different = compose.Composer(stores, seed=3).batch(6, 8, (64, 96))
    assert not torch.equal(one.image, different.image)


def test_empty_images_have_no_alpha(pack):
    composer = compose.Composer(data.load(pack, held_out=False), seed=0)
    assert not composer.batch(0, 4, (64, 64), soft=0, empty=1).alpha.any()


def test_a_person_lies_where_it_was_placed():
    pixels = np.zeros((40, 20, 4), np.uint8)
    pixels[:10] = 255
    picture = data.Picture("top", data.halves(pixels))
    placement = compose.Placement.of((50.0, 60.0), 2.0)
    layer = compose.warped(picture, placement, (120, 100))
    rows, columns = np.flatnonzero(layer[..., 3].any(1)), np.flatnonzero(layer[..., 3].any(0))
    # The picture spans 40 x 80 pixels around the centre; its upper quarter is opaque.
    assert layer[25:35, 35:65, 3].min() == 1
    assert (rows[0], rows[-1]) == pytest.approx((20, 40), abs=1)
    assert (columns[0], columns[-1]) == pytest.approx((30, 69), abs=1)
    assert placement.image_point(0, -20) == pytest.approx((50, 20))


@pytest.mark.parametrize("start", ["portrait", "tiny"])
@pytest.mark.parametrize("part", train.PARTS)
def test_a_resumed_run_goes_on_as_if_never_stopped(pack, tmp_path, monkeypatch, start, part):
    monkeypatch.setitem(network.SHAPES, "tiny", TINY)
    composer = compose.Composer(data.load(pack, held_out=False), seed=1)
    sizes = ((64, 64), (64, 96))
    settings = train.Settings(network=start, part=part, steps=4, batch=4, sizes=sizes, warmup=2)
    batches = compose.Steps(composer, 4, sizes, 4)
    run = train.Run(tmp_path, settings, CPU)
    for step in range(4):
        if step == 2:
            run.save()
        run.advance(batches[step])
    again = train.Run.resumed(tmp_path, CPU)
    assert again.step == 2
    assert again.settings == settings
    for step in (2, 3):
        again.advance(batches[step])
    for one, other in ((run.student, again.student), (run.average, again.average)):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_training_writes_log_curves_and_checkpoints(pack, tmp_path, monkeypatch):
    monkeypatch.setitem(network.SHAPES, "tiny", TINY)
    settings = train.Settings(network="tiny", steps=2, batch=4, sizes=((32, 32),), warmup=1)
    run = train.Run(tmp_path, settings, CPU)
    train.train(
        run, pack, minutes=9, until=9, every=1, validation_count=4, validation_side=32, workers=0
    )
    rows = (tmp_path / train.LOG).read_text().splitlines()
    assert rows[0].split(",")[:3] == ["step", "seconds", "rate"]
    assert [row.split(",")[0] for row in rows[1:]] == ["1", "2"]
    for name in (train.CURVES, train.BEST, train.CHECKPOINT, "validation.png"):
        assert (tmp_path / name).stat().st_size


def test_validation_is_of_people_and_of_nobody(pack):
    stores = data.load(pack, held_out=True)
    figures, shown = validate.Validation(stores, CPU, count=4, size=(32, 32)).measure(
        validate.nobody
    )
    assert figures.mad > 0
    assert figures.empty == 0
    assert not shown.alpha.any()


def test_gradient_error_is_that_of_the_metrics():
    random = np.random.default_rng(1)
    alpha, truth = random.random((2, 40, 33), np.float32)
    assert validate.gradient_error(alpha, truth) == pytest.approx(
        float(oracles.grad(alpha, truth)), rel=1e-6
    )


def test_the_loss_is_least_for_the_truth():
    truth = torch.zeros(1, 1, 64, 64)
    truth[..., 16:48, 16:48] = 1
    weights = losses.Weights()

    def found(alpha, soft):
        logits = torch.logit(alpha, eps=1e-6)
        return float(losses.loss(logits, truth, torch.tensor([soft]), weights))

    for soft in (True, False):
        assert found(truth, soft) == pytest.approx(0, abs=1e-4)
        assert found(1 - truth, soft) > 0.9
    shifted = truth.roll(1, 3)
    # The teacher's edge may be anywhere near.
    assert found(shifted, True) == pytest.approx(0, abs=1e-4)
    assert found(shifted, False) > 0.1


def test_steepness_is_a_ramps_slope_whichever_way():
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    ramp = (0.03 * x - 0.04 * y)[None, None]
    found = losses.steepness(ramp)[..., 2:-2, 2:-2]
    assert torch.allclose(found, torch.tensor(0.05), atol=1e-4)


def test_a_wrong_edge_costs_more_than_none_by_its_magnitude():
    truth = torch.zeros(1, 1, 64, 64)
    truth[..., 32:] = 1
    only = losses.Weights(certainty=0, pyramid=0, gradient=0, magnitude=1)
    none = losses.Weights(certainty=0, pyramid=0, gradient=0, magnitude=0)

    def cost(alpha):
        logits, soft = torch.logit(alpha, eps=1e-6), torch.tensor([False])
        return float(
            losses.loss(logits, truth, soft, only) - losses.loss(logits, truth, soft, none)
        )

    soft = torch.nn.functional.avg_pool2d(truth, 9, 1, 4, count_include_pad=False)
    assert 0 < cost(soft) < cost(truth.roll(3, 3))


def test_a_cutout_by_a_label_finds_the_true_edge_of_one_person():
    y, x = np.mgrid[:120, :100]
    person = (y >= 40) & (abs(x - 50) < 25 + 3 * np.sin(y / 3))
    noise = np.random.default_rng(0).normal(0, 3, (120, 100, 1))
    colours = np.where(person[..., None], (150, 90, 60), (40, 80, 160)) + noise
    image = colours.clip(0, 255).astype(np.uint8)
    # The label is a straight column, and another person far away.
    label = ((y >= 40) & (abs(x - 50) < 25)).astype(np.float32)
    label[5:14, 5:14] = 1
    rgba = teacher.cutout(image, label)
    assert np.abs(rgba[..., 3] / 255 - person).mean() < 0.01
    assert np.abs(rgba[person][:, :3].mean(0) - (150, 90, 60)).max() < 5
    assert not rgba[:20, :, 3].any()
    assert teacher.cutout(image, np.full_like(label, 0.5)) is None
    assert teacher.cutout(image, np.zeros_like(label)) is None


def test_a_walker_is_told_from_shadow_and_exposure():
    height, width = 432, 768
    y, x = np.mgrid[:height, :width]
    wood = np.array([170, 110, 60])
    plate = np.where((y >= walkers.FLOOR)[..., None], wood, 225).astype(np.float32)
    person = (abs(x - 380) < 45) & (y >= 100) & (y < 380)
    shadow = (abs(x - 380) < 90) & (y >= 360) & (y < 400)
    # The camera answers a dark coat with a brighter picture, and the floor shows a shadow.
    frame = plate * 1.08 * np.where(shadow[..., None], 0.6, 1.0)
    frame[person] = (40, 42, 48)
    frame += np.random.default_rng(0).normal(0, 2, frame.shape)
    frame = frame.clip(0, 255).astype(np.uint8)
    mask = walkers.outline(frame, plate)
    assert (mask.astype(bool) != person).sum() < 0.02 * person.sum()
    rgba = walkers.cutout(frame, mask)
    assert rgba.shape == (280 + 2 * walkers.MARGIN, 90 + 2 * walkers.MARGIN, 4)
    inside = person[84:396, 319:441]
    assert np.abs(rgba[..., 3] / 255 - inside).mean() < 0.02
    assert np.abs(rgba[inside][:, :3].mean(0) - (40, 42, 48)).max() < 6
    assert walkers.outline(plate.astype(np.uint8), plate) is None
    # Who is cut by the side of the frame is not a whole person.
    aside = np.roll(mask, -340, 1)
    assert walkers.cutout(np.roll(frame, -340, 1), aside) is None


@pytest.mark.parametrize("whole", [False, True])
def test_whole_people_stand_anywhere_and_others_end_at_the_border(pack, whole):
    stores = data.load(pack, held_out=False)
    rgba = np.full((64, 48, 4), 255, np.uint8)
    rgba[:8] = rgba[:, :8] = 0
    if whole:
        rgba[56:] = 0
    stores["person"] = [data.Picture("walk_1/1", data.halves(rgba))]
    # Arms and tufts may reach anywhere.
    stores["limb"], stores["hair"], stores["bust"] = [], [], []
    composer = compose.Composer(stores, seed=0)
    lowest = []
    for seed in range(24):
        layer = composer._person(np.random.default_rng(seed), (96, 96), 0.4, 0.6)
        lowest.append(np.flatnonzero(layer[..., 3].max(1) > 0.5)[-1])
    assert (min(lowest) < 70) == whole
    assert max(lowest) > 80


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


def test_furniture_stands_low_with_clear_air_above():
    for seed in range(8):
        alpha = procedural.furniture(np.random.default_rng(seed))[..., 3]
        assert alpha[-24:].max() == 255
        assert alpha[0].max() < 255
        assert 0.1 < (alpha > 128).mean() < 0.99
