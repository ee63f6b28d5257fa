"""Shading that is known is found and removed; lesions and unshaded images stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.polynomial.legendre import legval3d

from shared.brains.shading import STRONG_SHADING, ShadingRemoval, Unshaded
from shared.brains.units import normalise, p90_scale

SHAPE = (48, 56, 40)
CENTRE = np.array(SHAPE) / 2 - 0.5
GRID = np.moveaxis(np.indices(SHAPE), 0, -1) - CENTRE
BRAIN = (np.square(GRID / (0.45 * np.array(SHAPE))).sum(axis=-1) < 1)[None]
LESION = np.linalg.norm(GRID - (8, 8, 6), axis=-1) < 7  # 3 % of the brain


def brain_mask() -> torch.Tensor:
    return torch.from_numpy(BRAIN).float()


def tissue() -> np.ndarray:
    """``X Y Z``, in the brain intensities between grey (.7) and white matter (1) with sulci of fluid (.2) between."""
    waves = np.sin(GRID / 3).sum(axis=-1)
    return np.where(waves < -1.5, 0.2, np.where(waves < 0, 0.7, 1.0)) * BRAIN[0]


def image_of(foreground: np.ndarray) -> torch.Tensor:
    """``1 X Y Z``, normalised."""
    return torch.from_numpy(normalise(foreground, p90_scale(foreground[BRAIN[0]])))[None].float()


def log_field(size: float = 0.2) -> np.ndarray:
    """A polynomial of degree 3 on the box of the brain, ``X Y Z``, of a given standard deviation, mean 0."""
    coefficients = np.zeros((4, 4, 4))
    for term, value in {(1, 0, 0): 1.0, (0, 2, 0): -0.8, (1, 1, 1): 0.7, (0, 0, 3): 0.5}.items():
        coefficients[term] = value
    field = legval3d(*np.moveaxis(GRID / (0.45 * np.array(SHAPE)), -1, 0), coefficients)
    field -= field[BRAIN[0]].mean()
    return size * field / field[BRAIN[0]].std()


def true_reconstruction(images: torch.Tensor) -> torch.Tensor:
    """A perfect model: the unshaded brain without its lesion."""
    return image_of(tissue()).expand_as(images)


def error_of(found: Unshaded, truth: np.ndarray) -> np.ndarray:
    """Log of found over true gain in the brain, mean 0."""
    assert found.gains is not None
    log = np.log(found.gains[0].numpy())[BRAIN[0]] - truth[BRAIN[0]]
    return log - log.mean()


def test_a_known_field_is_found_and_the_image_is_as_it_was_without():
    found = ShadingRemoval()(image_of(tissue() * np.exp(log_field())), brain_mask(), true_reconstruction)
    assert np.abs(error_of(found, log_field())).max() < 0.02 and error_of(found, log_field()).std() < 0.003
    torch.testing.assert_close(
        found.images[:, BRAIN[0]], image_of(tissue())[:, BRAIN[0]], rtol=0, atol=0.1
    )  # of 6 between background and p90
    assert found.strengths == [pytest.approx(0.2, abs=0.003)]


@pytest.mark.parametrize("factor", [0.35, 1.7])
def test_a_lesion_hardly_changes_the_field_and_stays(factor: float):
    lesioned = tissue() * np.where(LESION, factor, 1) * np.exp(log_field())
    found = ShadingRemoval()(image_of(lesioned), brain_mask(), true_reconstruction)
    assert np.abs(error_of(found, log_field())).max() < 0.04 and error_of(found, log_field()).std() < 0.006
    assert found.gains is not None
    kept = lesioned / found.gains[0].numpy() / tissue().clip(0.1)
    outside = BRAIN[0] & ~LESION
    assert np.median(kept[LESION & BRAIN[0]]) / np.median(kept[outside]) == pytest.approx(factor, rel=0.02)


def test_without_a_field_next_to_nothing_changes():
    image = image_of(tissue())
    found = ShadingRemoval()(image, brain_mask(), true_reconstruction)
    assert found.strengths[0] < 1e-3
    torch.testing.assert_close(found.images, image, rtol=0, atol=1e-2)


def test_degree_0_returns_the_images_and_asks_for_no_reconstruction():
    image = image_of(tissue() * np.exp(log_field()))
    found = ShadingRemoval(degree=0)(image, brain_mask(), pytest.fail)
    assert found.images is image and found.gains is None and found.facts() == {}
    assert found.shade(image) is image


def test_the_90th_percentile_is_where_normalised_images_have_it():
    found = ShadingRemoval()(image_of(tissue() * np.exp(log_field())), brain_mask(), true_reconstruction)
    assert np.percentile(found.images[0].numpy()[BRAIN[0]], 90) == pytest.approx(3, abs=1e-4)


def test_shading_is_given_back():
    image = image_of(tissue() * np.exp(log_field()))
    found = ShadingRemoval()(image, brain_mask(), true_reconstruction)
    torch.testing.assert_close(found.shade(found.images), image, rtol=1e-5, atol=1e-4)


def test_reconstructions_of_what_is_left_are_asked_for_until_the_field_is_small():
    asked = []

    def reconstruct(images: torch.Tensor) -> torch.Tensor:
        asked.append(images)
        return true_reconstruction(images)

    image = image_of(tissue() * np.exp(log_field()))
    ShadingRemoval()(image, brain_mask(), reconstruct)
    assert len(asked) == 2 and torch.equal(asked[0], image)  # one finds it, one sees that it is gone
    ShadingRemoval(passes=1)(image, brain_mask(), reconstruct)
    assert len(asked) == 3


def test_every_sequence_has_a_field_of_its_own_and_a_strong_one_is_said():
    images = torch.cat([image_of(tissue()), image_of(tissue() * np.exp(log_field()))])
    found = ShadingRemoval()(images, brain_mask(), true_reconstruction)
    facts = found.facts(["t1", "flair"])
    assert facts["shading_t1"] < 1e-3 and facts["shading_flair"] > STRONG_SHADING
    (note,) = facts["notes"]
    assert note.startswith("flair: the scan is shaded: its brightness varies by ")
    assert list(Unshaded(images, None, [0.3]).facts()) == ["shading", "notes"]
    assert Unshaded(images, None, [0.05]).facts() == {"shading": 0.05}


def test_few_slices_are_not_fitted_one_by_one():
    """A slice that is brighter than the others, as interleaved slices are, is not taken for shading."""
    few = slice(18, 22)
    gain = np.ones(SHAPE)[..., few]
    gain[..., 2] = 1.2
    image, reference = (image_of(tissue())[..., few] for _ in range(2))
    image = normalise((image + 3) * torch.from_numpy(gain), 1.0).float()
    found = ShadingRemoval()(image, brain_mask()[..., few], lambda images: reference)
    assert found.gains is not None
    levels = [float(np.median(found.gains[0, ..., z][brain_mask()[0, ..., few][..., z] > 0])) for z in range(4)]
    assert max(levels) / min(levels) < 1.01


def test_a_brain_of_a_few_voxels_is_left_alone():
    brain = torch.zeros(1, *SHAPE)
    brain[0, 20:23, 20:23, 20:23] = 1
    found = ShadingRemoval()(image_of(tissue()), brain, true_reconstruction)
    assert found.strengths == [0.0]
    assert ShadingRemoval()(image_of(tissue()), torch.zeros(1, *SHAPE), pytest.fail).gains is None


@pytest.mark.parametrize("wrong", [{"degree": -1}, {"degree": 1.5}, {"passes": 0}])
def test_a_polynomial_that_does_not_exist_is_refused_when_it_is_asked_for(wrong):
    with pytest.raises(ValueError, match=f"got {next(iter(wrong.values()))}"):
        ShadingRemoval(**wrong)
