"""How MaC-DM draws samples: by samplers that there are, from a share of the schedule."""

from __future__ import annotations

import pytest

from shared.methods.macdm.sampling import ALL_SAMPLERS, Sampling


@pytest.mark.parametrize("name", ALL_SAMPLERS)
def test_every_sampler_is_taken_among_them_the_papers(name):
    assert Sampling(sampler=name).sampler == name and Sampling().sampler == "learned_variance"


@pytest.mark.parametrize("level", [1e-3, 0.5, 1.0])
def test_a_share_of_the_schedule_is_taken(level):
    assert Sampling(level=level).level == level


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "ddim"}, "sampler is one of .*learned_variance, got 'ddim'"),
        ({"level": 0.0}, "level is 0.0; choose"),
        ({"level": 1.001}, "level is 1.001; choose"),
    ],
)
def test_what_does_not_fit_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**settings)


def test_a_guidance_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="guidance is nan"):
        Sampling(guidance=float("nan"))
