"""The noise of TSGM: keyed by slice, sample and sequence, so that nothing beside a slice changes it."""

from __future__ import annotations

import math

import pytest
import torch

from shared.methods.tsgm.inferer import TSGMInferer
from tests.helpers.facts import facts_of_batch
from tests.helpers.tsgm_patients import (
    BRAIN,
    FAST,
    SIGMA_MAX,
    SIZE,
    Healthy,
    Mixing,
    close,
    patient,
    run,
    start_of,
)


class TestNoise:
    def test_starts_from_the_highest_noise_level(self):
        network = Healthy()
        run(network, patient(), samples=50)
        start = start_of(network) / SIGMA_MAX
        assert abs(float(start.mean())) < 5 / math.sqrt(start.numel())
        assert abs(float(start.var()) - 1) < 5 * math.sqrt(2 / start.numel())

    def test_every_sample_slice_and_sequence_has_its_own(self):
        network = Healthy()
        run(network, patient(), samples=5)
        fields = start_of(network).flatten(2).flatten(0, 1)
        assert len(fields) == 5 * 3 * 3
        assert torch.corrcoef(fields).fill_diagonal_(0).abs().max() < 6 / SIZE

    @pytest.mark.parametrize("sampler", ["dpmpp_2m", "ancestral", "predictor_corrector"])
    def test_neither_batches_nor_other_slices_change_a_slice(self, sampler: str):
        settings, volume = {"sampler": sampler, "samples": 2}, patient(0.4)
        found = run(Mixing(), volume, batch_size=64, **settings)
        for size in (1, 4):
            close(run(Mixing(), volume, batch_size=size, **settings), found)
        alone = run(Mixing(), patient(0.4, brain=BRAIN * torch.tensor([0, 0, 1, 0])), **settings)
        close(alone[..., 2], found[..., 2])
        assert not alone[0][..., 3].any() and found[0][..., 3].any()
        assert not torch.allclose(run(Mixing(), volume, seed=1, **settings), found)

    def test_a_slice_alone_has_the_same_noise_to_the_bit(self):
        beside, alone = Healthy(), Healthy()
        run(beside, patient(), samples=2)
        run(alone, patient(brain=BRAIN * torch.tensor([0, 0, 1, 0])), samples=2)
        assert torch.equal(start_of(beside)[[1, 4]], start_of(alone))

    def test_volumes_of_a_batch_do_not_mix(self):
        inferer = TSGMInferer(**FAST)
        volumes = [patient(0.4), patient(-0.2, absent=("t1",))]
        both = inferer(torch.stack(volumes), Mixing())
        for volume, found in zip(volumes, both, strict=True):
            close(found, run(Mixing(), volume))
        facts = facts_of_batch(both)
        assert [given["sequences"] for given in facts] == ["t1 t1ce flair", "t1ce flair"]
        assert [given["network_evaluations"] for given in facts] == [9, 9]
        assert facts_of_batch(inferer(volumes[0][None], Mixing())) == facts[:1], "of this call alone"
