"""How the other sequence is drawn: the paper's steps, and samplers that there are."""

from __future__ import annotations

import pytest

from shared.methods.mmccd.sampling import StripeSampling


def test_paper_takes_a_hundred_steps_of_ddim():
    sampling = StripeSampling()
    assert list(sampling.timesteps) == [10 * n for n in range(99, -1, -1)]
    assert sampling.sampler == "euler"


def test_an_unknown_sampler_is_refused():
    with pytest.raises(ValueError, match="sampler is one of euler.*, got 'ddim'"):
        StripeSampling(sampler="ddim")
