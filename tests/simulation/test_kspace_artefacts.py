"""Artefacts of k-space against what each does in closed form, in float64, on volumes that are not cubic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from shared.simulation.kspace_artefacts import Ghosting, HeadMotion, KSpaceNoise, KSpaceSpike

SHAPE = (24, 32, 15)
VOLUME = torch.from_numpy(np.random.default_rng(0).uniform(1, 3, (1, *SHAPE)).astype(np.float32))
REST = {"intervals": [[0.1, 0.3]], "rotation_axes": [[0, 0, 1]], "translation_axes": [[1, 0, 0]]}


def block() -> torch.Tensor:
    """A box of 1 well inside the field."""
    volume = torch.zeros(1, *SHAPE)
    volume[0, 8:16, 10:20, 5:10] = 1
    return volume


@pytest.mark.parametrize(
    "transform",
    [KSpaceNoise(0, 1), KSpaceSpike(0), Ghosting(0), HeadMotion(0, 0, **REST), HeadMotion(5, 5, [], [], [])],
    ids=["noise", "spike", "ghosts", "motion", "no movement"],
)
def test_level_zero_is_the_identity(transform):
    assert torch.allclose(transform(VOLUME), VOLUME, atol=2e-6)


class TestNoise:
    LEVEL = 0.01

    def test_has_the_stated_size(self):
        """``N`` of ``n`` spectrum values are noisy: variance ``N / n^2 (a^2 + b^2) / 6``, a and b the largest parts."""
        noise = (KSpaceNoise(self.LEVEL, 3)(VOLUME) - VOLUME)[0].double().numpy()
        spectrum = np.fft.fft2(VOLUME[0].double().numpy(), axes=(0, 1))
        n = SHAPE[0] * SHAPE[1]
        for z in range(SHAPE[2]):
            a, b = np.abs(spectrum[..., z].real).max(), np.abs(spectrum[..., z].imag).max()
            expected = (n - 2 * SHAPE[1]) / n**2 * self.LEVEL**2 * (a**2 + b**2) / 6
            assert noise[..., z].var() == pytest.approx(expected, rel=0.25)  # 768 correlated values
        ratios = noise.var(axis=(0, 1)) / (np.abs(spectrum.real).max(axis=(0, 1)) ** 2 * self.LEVEL**2 / 6 / n)
        assert ratios.mean() == pytest.approx(1 - 2 / SHAPE[0], rel=0.05)

    def test_never_exceeds_its_level_and_spares_the_central_lines(self):
        noise = np.fft.fft2((KSpaceNoise(self.LEVEL, 3)(VOLUME) - VOLUME)[0].double().numpy(), axes=(0, 1))
        largest = np.abs(np.fft.fft2(VOLUME[0].double().numpy(), axes=(0, 1)).real).max(axis=(0, 1))
        assert (np.abs(noise.real) <= self.LEVEL * largest * 1.001).all()
        # the real part mixes the lines of frequency k and -k: that of -1 gets half of the noise of 1
        assert np.abs(noise[0]).max() < 1e-3 < np.abs(noise[2]).max()
        assert np.std(noise[-1].real) < 0.8 * np.std(noise[2].real)

    def test_depends_on_the_seed_alone(self):
        assert torch.equal(KSpaceNoise(0.01, 3)(VOLUME), KSpaceNoise(0.01, 3)(VOLUME))
        assert not torch.allclose(KSpaceNoise(0.01, 3)(VOLUME), KSpaceNoise(0.01, 4)(VOLUME))


@pytest.mark.parametrize("level", [0.5, 4.0])
def test_spike_adds_a_wave_of_the_stated_frequency_and_amplitude(level: float):
    """At 0.45 of an axis of 24: index 10 of the centred spectrum, 2 below frequency 0."""
    frequency = [int(0.45 * size) - size // 2 for size in SHAPE]
    assert frequency == [-2, -2, -1]
    grid = np.indices(SHAPE)
    wave = np.cos(2 * np.pi * sum(f * g / n for f, g, n in zip(frequency, grid, SHAPE)))
    expected = VOLUME[0].double().numpy() + level * VOLUME.double().mean().item() * wave
    assert np.allclose(KSpaceSpike(level)(VOLUME)[0], expected, atol=1e-5)


class TestGhosting:
    @pytest.mark.parametrize("axis", [0, 1])
    @pytest.mark.parametrize("intensity", [0.5, 2.0])
    def test_ghosts_stand_at_quarters_of_the_field(self, axis: int, intensity: float):
        """Axes of 24 and 32, whose middle is a multiple of 4; the line of frequency 0 is put back."""
        image = block().double()
        ghosts = sum(torch.roll(image, shift * SHAPE[axis] // 4, 1 + axis) for shift in range(4))
        kept = intensity * image.mean(dim=1 + axis, keepdim=True)
        expected = image - intensity / 4 * ghosts + kept
        assert torch.allclose(Ghosting(intensity, 4, axis)(block()).double(), expected, atol=1e-6)

    def test_number_of_ghosts(self):
        image = torch.zeros(1, 1, 32, 1)
        image[0, 0, 3] = 1
        found = Ghosting(1.0, num_ghosts=8)(image)[0, 0, :, 0]
        peaks = (found - 1 / 32).abs() > 0.05  # 1/32: the line that stays
        assert peaks.nonzero()[:, 0].tolist() == [3, 7, 11, 15, 19, 23, 27, 31]

    def test_a_share_of_the_lines_about_the_middle_stays(self):
        spectrum = torch.fft.fftshift(torch.fft.fft(Ghosting(1.0, 2, 0, restore=0.25)(VOLUME)[0], dim=0), dim=0)
        before = torch.fft.fftshift(torch.fft.fft(VOLUME[0], dim=0), dim=0)
        same = [torch.allclose(a, b, atol=1e-4) for a, b in zip(spectrum, before)]
        assert same == [line % 2 == 1 or 9 <= line <= 15 for line in range(24)]


class TestMotion:
    def test_whole_scan_away_is_the_moved_head(self):
        """A shift by 3 mm along X, voxels of 1 mm, and by 1 voxel where they have 3 mm."""
        whole = {"intervals": [[0.0, 1.0]], "rotation_axes": [[0, 0, 1]], "translation_axes": [[-1, 0, 0]]}
        assert torch.allclose(HeadMotion(0, 3, **whole)(block()), torch.roll(block(), 3, 1), atol=1e-5)
        coarse = MetaTensor(block(), affine=np.diag([3.0, 3, 3, 1]))
        moved = HeadMotion(0, 3, **whole)(coarse)
        assert torch.allclose(moved.as_tensor(), torch.roll(block(), 1, 1), atol=1e-5)
        assert torch.equal(moved.affine, coarse.affine)

    def test_whole_scan_turned_by_a_right_angle(self):
        square = torch.zeros(1, 21, 21, 3)
        square[0, 4:8, 9:12] = 1
        whole = {"intervals": [[0.0, 1.0]], "rotation_axes": [[0, 0, 1]], "translation_axes": [[0, 0, 0]]}
        turned = HeadMotion(90, 0, **whole)(square)
        assert any(torch.allclose(turned, torch.rot90(square, k, (1, 2)), atol=1e-4) for k in (1, 3))

    def test_turns_are_rigid_where_voxels_are_not_cubes(self):
        """A bar of 12 by 4 mm, in voxels of 1 by 2 mm, becomes one of 4 by 12 mm."""
        bar, upright = torch.zeros(1, 21, 21, 3), torch.zeros(1, 21, 21, 3)
        bar[0, 4:17, 9:12] = 1
        upright[0, 8:13, 7:14] = 1
        whole = {"intervals": [[0.0, 1.0]], "rotation_axes": [[0, 0, 1]], "translation_axes": [[0, 0, 0]]}
        turned = HeadMotion(90, 0, **whole)(MetaTensor(bar, affine=np.diag([1.0, 2, 1, 1]))).as_tensor()
        inner = upright[0, 9:12, 8:13] * turned[0, 9:12, 8:13]
        assert torch.allclose(inner, torch.ones_like(inner), atol=1e-4)
        assert not turned[0, :6].abs().gt(1e-4).any() and not turned[0, :, :5].abs().gt(1e-4).any()

    def test_only_the_lines_of_the_interval_change(self):
        """Lines 3 to 9 of 32, the centred spectrum along Y; without the real part, which mixes k and -k."""
        part = {"intervals": [[3 / 32, 10 / 32]], "rotation_axes": [[1, 0, 0]], "translation_axes": [[1, 0, 0]]}
        change = HeadMotion(4, 2, **part)(VOLUME) - VOLUME
        lines = torch.fft.fftshift(torch.fft.fft(change, dim=2), dim=2).abs().amax(dim=(0, 1, 3))
        changed = (lines > 1e-2).nonzero()[:, 0].tolist()
        assert changed == [*range(3, 10), *(32 - line for line in range(9, 2, -1))]
