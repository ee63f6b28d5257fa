"""The signal equations against hand values and their physical limits."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from shared.simulation.mri_signal import (
    HEALTHY,
    LESIONS,
    SEQUENCES,
    Tissue,
    inversion_recovery,
    signal,
    spin_echo,
    spoiled_gradient_echo,
    with_gadolinium,
)


def test_spin_echo_hand_value() -> None:
    tissue = Tissue(t1=1000 / math.log(2), t2=100 / math.log(2), proton_density=0.8)
    assert spin_echo(tissue, repetition_time=1000, echo_time=200) == pytest.approx(0.8 * 0.5 * 0.25)


def test_inversion_recovery_nulls_at_its_inversion_time_and_equals_spin_echo_for_long_ones() -> None:
    tissue = Tissue(t1=1000, t2=100, proton_density=1)
    null = 1000 * math.log(2 / (1 + math.exp(-8000 / 1000)))
    assert inversion_recovery(tissue, 8000, 50, null) == pytest.approx(0, abs=1e-9)
    assert inversion_recovery(tissue, 1e6, 50, 1e5) == pytest.approx(math.exp(-0.5))


def test_spoiled_gradient_echo_peaks_at_the_ernst_angle_and_saturates_at_ninety_degrees() -> None:
    tissue = Tissue(t1=1000, t2=100, proton_density=1)
    ernst = math.degrees(math.acos(math.exp(-10 / 1000)))
    best = spoiled_gradient_echo(tissue, 10, ernst)
    assert best > spoiled_gradient_echo(tissue, 10, ernst - 0.5)
    assert best > spoiled_gradient_echo(tissue, 10, ernst + 0.5)
    assert best == pytest.approx(math.tanh(0.01 / 2) ** 0.5)  # sqrt((1 - E1) / (1 + E1))
    assert spoiled_gradient_echo(tissue, 10, 90) == pytest.approx(1 - math.exp(-0.01))


def test_gadolinium_shortens_t1_by_relaxivity() -> None:
    # 1 / (1/2 s + 4 / (mmol/l s) * 0.5 mmol/l) = 0.4 s
    assert with_gadolinium(Tissue(t1=2000, t2=100, proton_density=1, gadolinium=0.5)).t1 == pytest.approx(400)


def test_order_of_healthy_tissues() -> None:
    values = {name: {key: signal(t, SEQUENCES[name]) for key, t in HEALTHY.items()} for name in SEQUENCES}
    assert values["t1"]["white"] > values["t1"]["grey"] > values["t1"]["csf"]
    assert values["t2"]["csf"] > values["t2"]["grey"] > values["t2"]["white"]
    assert values["flair"]["csf"] < 0.05 * values["flair"]["white"]
    assert values["pd"]["grey"] > values["pd"]["white"]
    assert values["t1ce"]["blood"] > 1.5 * values["t1ce"]["white"]
    assert values["t1"]["grey"] == values["t1ce"]["grey"]


@pytest.mark.parametrize("name", ["oedema", "tumour_core", "tumour_rim", "infarct", "plaque"])
def test_lesions_are_dark_on_t1_and_brighter_than_all_parenchyma_on_t2_and_flair(name: str) -> None:
    tissue = LESIONS[name]
    healthy = [HEALTHY[key] for key in ("grey", "deep_grey", "white")]
    assert signal(tissue, SEQUENCES["t1"]) < min(signal(t, SEQUENCES["t1"]) for t in healthy)
    for sequence in ("t2", "flair"):
        assert signal(tissue, SEQUENCES[sequence]) > 1.05 * max(signal(t, SEQUENCES[sequence]) for t in healthy)


def test_unknown_family_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown sequence family 'epi'"):
        signal(HEALTHY["grey"], replace(SEQUENCES["t1"], family="epi"))
