"""TSGM where sequences are absent: they are not drawn, not shown to the network, and change nothing of the others."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.tsgm_patients import (
    LESION,
    SEQUENCES,
    UNITS,
    Healthy,
    Mixing,
    close,
    patient,
    run,
    share,
    start_of,
)


class TestAbsentSequences:
    def test_are_not_drawn_and_the_others_take_their_weight(self):
        found = run(Healthy(), patient(0.4, ("t1ce",)))
        weights = share("t1", "flair")
        close(found[0], 0.4 * (weights["t1"] * UNITS[0] + weights["flair"] * UNITS[2]) * LESION)
        assert found[2].isnan().all() and found[[0, 1, 3, 4]].isfinite().all()

    def test_are_not_shown_to_the_network(self):
        class Watching(Healthy):
            def __call__(self, x, sigma, condition, present=None):
                assert present.tolist() == [[1, 0, 1]] * len(x)
                assert not x[:, 1].any() and not condition[:, 1].any()
                return super().__call__(x, sigma, condition, present)

        run(Watching(), patient(0.4, ("t1ce",)))

    @pytest.mark.parametrize("sampler", ["dpmpp_2m", "ancestral", "predictor_corrector"])
    def test_change_nothing_for_a_network_that_draws_each_sequence_on_its_own(self, sampler: str):
        settings = {"sampler": sampler, "samples": 2}
        together = run(Mixing(1), patient(0.4), **settings)
        for n, name in enumerate(SEQUENCES):
            alone = run(Mixing(1), patient(0.4, tuple(s for s in SEQUENCES if s != name)), **settings)
            close(alone[1 + n], together[1 + n])

    def test_leave_the_noise_of_the_others_as_it_was(self):
        network, without = Healthy(), Healthy()
        run(network, patient())
        run(without, patient(absent=("t1",)))
        assert torch.equal(start_of(network)[:, 1:], start_of(without)[:, 1:])

    def test_one_must_be_there(self):
        with pytest.raises(ValueError, match="no sequence given"):
            run(Healthy(), patient(absent=tuple(SEQUENCES)))

    def test_one_must_weigh(self):
        with pytest.raises(ValueError, match="t1 given, but only others weigh"):
            run(Healthy(), patient(absent=("t1ce", "flair")), fusion_weights={"t1": 0.0, "t1ce": 0.0, "flair": 1.0})
