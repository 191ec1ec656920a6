# SPDX-License-Identifier: GPL-3.0-or-later
"""Surface relief: polarity on real materials, form on surfaces whose height is known, and its controls."""

import cv2
import numpy as np
import pytest
from maquette.demo.samples import sample_photo
from maquette.inference import BadInput, Cancelled, estimate_depth, load_photo
from maquette.inference.depth import relief


def pebbles(size=240, count=60, seed=0):
    """Rounded stones: height (H, W) 0..1."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    distances = np.sort([np.hypot(columns - x, rows - y) for x, y in rng.uniform(0, size, (count, 2))], 0)
    edge = (distances[1] - distances[0]) / (size / np.sqrt(count))
    return cv2.GaussianBlur(np.sqrt(np.clip(1.5 * edge, 0, 1)).astype(np.float32), (0, 0), 1.5)


def photographed(height, azimuth, amplitude=14.0):
    """A grey photo (H, W, 3) of a surface in light from `azimuth` degrees (90: above), darker in its gaps."""
    across, down = np.gradient(height * amplitude)[::-1]
    normal = np.stack([-across, -down, np.ones_like(height)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    turn = np.radians(azimuth)
    light = np.array([0.7 * np.cos(turn), -0.7 * np.sin(turn), 0.7])
    shade = 0.65 * np.clip(normal @ light, 0, 1) + 0.35 * (0.3 + 0.7 * height)
    slow = np.linspace(0.6, 1.0, len(height))[:, None]  # the light falls off
    return np.repeat((255 * (0.6 * shade * slow) ** (1 / 2.2)).astype(np.uint8)[..., None], 3, -1)


def similarity(height, truth):
    return np.corrcoef(height.ravel(), truth.ravel())[0, 1]


def test_gaps_are_deep_on_brick_with_light_joints_and_on_gravel_with_dark_ones():
    for name, bright in [("brick", True), ("gravel", False), ("coins", False)]:
        pixels = load_photo(sample_photo(name)).pixels
        rows, columns = pixels.shape[:2]
        for part in (pixels, pixels[: rows // 2], pixels[:, columns // 2 :], cv2.resize(pixels, None, fx=0.5, fy=0.5)):
            luminance = relief.log_luminance(np.ascontiguousarray(part))
            assert relief.bright_gaps(luminance - relief.blur(luminance, max(part.shape) / 6)) is bright, name


def test_coins_stand_above_their_ground():
    pixels = load_photo(sample_photo("coins")).pixels
    height = relief.height(pixels)
    coin = cv2.GaussianBlur(pixels[..., 0], (0, 0), 2) > 120  # the coins are the bright part
    assert height[coin].mean() > height[~coin].mean() + 0.2


@pytest.mark.parametrize("azimuth", [20, 140, 250])
def test_known_surfaces_come_back_and_better_where_the_light_is_known(azimuth):
    truth = pebbles()
    photo = photographed(truth, azimuth)
    plain = similarity(relief.height(photo), truth)
    lit = similarity(relief.height(photo, light=azimuth), truth)
    wrong = similarity(relief.height(photo, light=azimuth + 180), truth)
    assert plain > 0.4
    assert lit > plain + 0.05
    assert wrong < plain - 0.1


def test_slow_changes_of_light_are_not_form():
    truth = pebbles()
    height = relief.height(photographed(truth, 45))
    assert abs(height[:80].mean() - height[-80:].mean()) < 0.06


def test_controls():
    photo = photographed(pebbles(), 45)
    plain = relief.height(photo)
    assert plain.dtype == np.float32
    assert plain.min() == 0
    assert plain.max() == 1
    assert similarity(relief.height(photo, invert=True), relief.height(photo, invert=False)) < -0.99

    def fine(height):
        return float(np.std(height - cv2.GaussianBlur(height, (0, 0), 2)))

    assert fine(relief.height(photo, detail=1.0)) > 1.2 * fine(plain) > 1.44 * fine(relief.height(photo, detail=0.0))
    narrow = relief.height(photo, largest_feature=6)
    assert cv2.GaussianBlur(narrow, (0, 0), 12).std() < 0.5 * cv2.GaussianBlur(plain, (0, 0), 12).std()


def test_a_tileable_photo_gives_a_tileable_height():
    rng = np.random.default_rng(2)
    spectrum = np.fft.fft2(rng.normal(size=(128, 128)))
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128))
    values = np.real(np.fft.ifft2(spectrum * np.exp(-((frequency / 0.06) ** 2))))
    photo = np.repeat(np.clip(128 + 40 * values / values.std(), 0, 255).astype(np.uint8)[..., None], 3, -1)

    def seam(height):
        return np.abs(height[:, 0] - height[:, -1]).mean() / np.abs(np.diff(height, axis=1)).mean()

    assert seam(relief.height(photo, tileable=True)) < 1.4
    shifted = relief.height(np.roll(photo, (40, 70), (0, 1)), tileable=True)
    np.testing.assert_allclose(np.roll(shifted, (-40, -70), (0, 1)), relief.height(photo, tileable=True), atol=0.03)


def test_a_flat_wall_is_flat():
    assert (relief.height(np.full((64, 80, 3), 130, np.uint8)) == 0.5).all()


def test_larger_photos_keep_their_finest_detail(monkeypatch):
    photo = photographed(pebbles(320, 200), 45)
    whole = relief.height(photo)
    monkeypatch.setattr(relief, "_WORKING_SIDE", 160)
    assert similarity(relief.height(photo), whole) > 0.85


def test_integration_inverts_differences():
    height = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(90, 130)).astype(np.float32), (0, 0), 3)
    across, down = np.zeros_like(height), np.zeros_like(height)
    across[:, :-1], down[:-1] = np.diff(height, axis=1), np.diff(height, axis=0)
    back = relief.integrate(across, down, 1e4)
    np.testing.assert_allclose(back - back.mean(), height - height.mean(), atol=2e-3 * np.ptp(height))


def test_the_public_function():
    told = []
    result = estimate_depth(sample_photo("brick"), "relief", resolution=128, progress=lambda *args: told.append(args))
    assert result.depth.shape == (512, 512)
    assert result.valid.all()
    assert not result.metric
    assert result.preview.shape == (128, 128, 3)
    np.testing.assert_allclose(np.linalg.norm(result.normals, axis=-1), 1, atol=1e-5)
    assert (result.normals[..., 2] < 0).all()
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1

    def stop(fraction, message):
        raise Cancelled

    with pytest.raises(Cancelled):
        estimate_depth(sample_photo("brick"), "relief", progress=stop)


def test_the_smallest_photo_has_a_relief():
    tiny = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    assert np.ptp(estimate_depth(tiny, "relief").depth) == 1


@pytest.mark.parametrize(
    "options",
    [{"detail": -0.1}, {"detail": 2}, {"detail": float("nan")}, {"largest_feature": 0}, {"light": float("inf")}],
)
def test_absurd_options(options):
    with pytest.raises(BadInput) as raised:
        relief.height(np.zeros((64, 64, 3), np.uint8), **options)
    assert raised.value.remedy
