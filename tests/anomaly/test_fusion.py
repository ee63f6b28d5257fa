"""Fusion weights: the simplex, and searches whose best weights and Dice are known in closed form."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from shared.anomaly.fusion import renormalised, search_weights, simplex
from tests.helpers.square_lesions import BRAIN, ELSEWHERE, LESION, SHAPE, TISSUE, square


def search(*patients: np.ndarray, label: np.ndarray = LESION, step: float = 0.1):
    """Residuals ``S X Y Z`` of patients who all have the same lesion."""
    return search_weights(patients, [label] * len(patients), [BRAIN] * len(patients), step)


class TestRenormalised:
    WEIGHTS = {"t1": 0.1, "t1ce": 0.3, "flair": 0.6}

    @pytest.mark.parametrize(
        ("present", "expected"),
        [
            (["t1", "t1ce", "flair"], {"t1": 0.1, "t1ce": 0.3, "flair": 0.6}),
            (["t1", "t1ce"], {"t1": 0.25, "t1ce": 0.75}),
            (["flair", "t1ce"], {"flair": 2 / 3, "t1ce": 1 / 3}),
            (["t1"], {"t1": 1}),
        ],
    )
    def test_shares_of_those_present(self, present: list[str], expected: dict[str, float]):
        shares = renormalised(self.WEIGHTS, present)
        assert shares == pytest.approx(expected) and list(shares) == present
        assert renormalised({name: 40 * w for name, w in self.WEIGHTS.items()}, present) == pytest.approx(expected)

    def test_a_sequence_may_weigh_nothing(self):
        assert renormalised({"t1": 0, "flair": 0.4}, ["t1", "flair"]) == {"t1": 0, "flair": 1}

    @pytest.mark.parametrize(
        ("weights", "present", "message"),
        [
            ({"t1": 0, "flair": 1}, ["t1"], "t1 given, but only others weigh above 0.*set a weight"),
            ({"flair": 1}, [], "no sequence given"),
            ({"flair": 1}, ["t1", "flair"], "no fusion weight for t1: add one"),
            ({"t1": -0.1, "flair": 1.1}, ["t1", "flair"], "at least 0.*correct"),
            ({"t1": -0.1, "flair": 1.1}, ["flair"], "at least 0.*correct"),
            ({"t1": float("nan"), "flair": 1}, ["flair"], "finite.*correct"),
        ],
    )
    def test_weights_that_do_not_fit_are_refused(self, weights: dict[str, float], present: list[str], message: str):
        with pytest.raises(ValueError, match=message):
            renormalised(weights, present)


class TestSimplex:
    @pytest.mark.parametrize(("count", "step"), [(1, 0.1), (2, 0.1), (3, 0.1), (4, 0.1), (3, 0.05), (3, 0.25), (2, 1)])
    def test_all_of_the_grid(self, count: int, step: float):
        found = np.array(simplex(count, step))
        steps = round(1 / step)
        assert found.shape == (comb(steps + count - 1, count - 1), count)
        assert len(np.unique(found, axis=0)) == len(found)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
        np.testing.assert_allclose(found * steps, np.round(found * steps), atol=1e-9)
        assert found.min() >= 0

    @pytest.mark.parametrize("count", [1, 3, 4])
    def test_every_vertex(self, count: int):
        vertices = {tuple(row) for row in np.eye(count)}
        assert vertices <= set(simplex(count))

    @pytest.mark.parametrize("step", [0.0, -0.1, 0.3, 1.5, float("nan")])
    def test_step_must_divide_one(self, step: float):
        with pytest.raises(ValueError, match="step must divide 1"):
            simplex(3, step)


class TestSearch:
    @pytest.mark.parametrize("at", [0, 1, 2])
    def test_only_one_sequence_shows_the_lesion(self, at: int):
        # The lesion stands 0.1 above other tissue; any other sequence, in which it is dark, buries it.
        residual = np.stack([1.0 * ELSEWHERE - LESION] * 3)
        residual[at] = LESION + 0.9 * TISSUE
        best, table = search(residual, residual)
        assert best == tuple(np.eye(3)[at])
        assert table[0] == (best, 1.0) and table[1][1] < 1
        assert [weights for weights, _ in table] != simplex(3) and {w for w, _ in table} == set(simplex(3))
        assert [dice for _, dice in table] == sorted((dice for _, dice in table), reverse=True)

    def test_two_with_independent_noise_are_better_together(self):
        # Inverse variances weigh best: 4 to 1 for standard deviations of 1 and 2; the third shows nothing.
        random, shape = np.random.default_rng(0), (48, 48, 8)
        label = np.zeros(shape)
        label[14:34, 14:34, 2:6] = 255
        deviations = np.array([1, 2, 2])[:, None, None, None]
        shown = np.stack([label > 0, label > 0, label < 0])
        patients = [shown + deviations * random.normal(size=(3, *shape)) for _ in range(3)]
        best, table = search_weights(patients, [label] * 3, [np.ones(shape)] * 3)
        assert best == (0.8, 0.2, 0)
        dice = dict(table)
        assert dice[best] > dice[1, 0, 0] + 0.003 and dice[1, 0, 0] > dice[0, 1, 0] + 0.1
        assert dice[0, 0, 1] == min(dice.values())

    def test_one_threshold_serves_all_patients_and_each_counts_alike(self):
        # 21 voxels a slice; the second lesion is 2 to 1 to tissue that lies above the lesion of the first.
        thin = square(4, 4, slice(1, 2))
        residuals = [1.0 * thin[None], (3.0 * LESION + 2.0 * TISSUE)[None]]
        _, table = search_weights(residuals, [thin, LESION], [BRAIN] * 2)
        assert table == [((1.0,), pytest.approx((1 + 2 / 3) / 2))]

    def test_median_is_in_plane(self):
        thin = square(4, 4, slice(2, 3))
        specks = np.zeros(SHAPE)
        specks[5:20:3, 12:18:3] = 3  # columns: only a median in plane takes them off and leaves the thin lesion
        assert search((thin + specks)[None], label=thin)[1][0][1] == 1

    def test_map_is_cut_at_zero(self):
        assert search(np.where(LESION, -1.0, -2.0)[None])[1][0][1] == 0

    def test_outside_the_brain_nothing_is_marked_and_label_is_missed(self):
        residual = np.where(BRAIN > 0, LESION, 9.0)[None]
        residual[:, 0, 0] = np.nan
        outside = np.zeros(SHAPE)
        outside[:2] = 1
        label = np.maximum(LESION, outside)
        expected = 2 * LESION.sum() / (LESION.sum() + label.sum())
        assert search(residual, label=label)[1][0][1] == pytest.approx(expected)

    @pytest.mark.parametrize("fault", ["no patient", "no lesion", "no brain", "NaN"])
    def test_what_cannot_be_searched_is_refused(self, fault: str):
        healthy, brain, residual = np.zeros(SHAPE), BRAIN.copy(), 1.0 * LESION[None]
        label = healthy if fault == "no lesion" else LESION
        brain = healthy if fault == "no brain" else BRAIN
        residual[0, 9, 9, 3] = np.nan if fault == "NaN" else 0
        cases = [[1.0 * LESION[None], residual], [LESION, label], [BRAIN, brain]]
        with pytest.raises(ValueError, match=r"got 0" if fault == "no patient" else r"got 2.*unfit.*\[1\]"):
            search_weights(*([] if fault == "no patient" else column for column in cases))
