"""The geometric mean of maps: known values, what vetoes, and what a share of the peak makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from shared.anomaly.consensus import geometric_mean
from shared.anomaly.thresholds import PEAK_PERCENTILE, gated_peak


def test_known_values():
    a, b, c = (np.array(values, np.float32) for values in ([4, 9, 0.25, 0], [1, 4, 4, 50], [2, 1, 1, 1]))
    np.testing.assert_allclose(geometric_mean([a, b]), [2, 6, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(geometric_mean([a, b, c]), np.cbrt([8, 36, 1, 0]), rtol=1e-6)
    np.testing.assert_array_equal(geometric_mean([a]), a)
    assert geometric_mean([a, b]).dtype == np.float32


def test_the_order_of_the_members_does_not_matter():
    maps = list(np.random.default_rng(0).exponential(size=(3, 5, 6, 7)))
    np.testing.assert_allclose(geometric_mean(maps), geometric_mean(maps[::-1]), rtol=1e-6)


def test_of_maps_cut_at_a_share_of_their_peaks_it_is_the_mean_of_the_maps_over_their_peaks():
    generator, brain, share = np.random.default_rng(1), np.ones((10, 10, 10)), 0.3
    raw = [scale * generator.exponential(size=brain.shape) for scale in (1, 40)]
    thresholds = [gated_peak(one, brain, stored=0.01, share=share) for one in raw]
    fused = geometric_mean([one / threshold for one, threshold in zip(raw, thresholds)])
    over_peaks = np.sqrt(np.prod([one / np.percentile(one, PEAK_PERCENTILE) for one in raw], axis=0))
    np.testing.assert_array_equal(fused > 1, over_peaks > share)


def test_a_healthy_brain_whose_maps_stay_below_their_stored_thresholds_is_not_marked():
    generator, brain = np.random.default_rng(2), np.ones((10, 10, 10))
    raw = [generator.uniform(0, 0.5, brain.shape) for _ in range(2)]
    maps = [one / gated_peak(one, brain, stored=0.5, share=0.3) for one in raw]
    assert not (geometric_mean(maps) > 1).any()


@pytest.mark.parametrize("maps", [[], [np.ones(3), np.ones(4)]])
def test_no_map_and_maps_of_several_shapes_are_refused(maps):
    with pytest.raises(ValueError, match="one map at least, all of one shape"):
        geometric_mean(maps)
