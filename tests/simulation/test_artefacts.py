"""The table of artefacts: severities that grow, draws that depend on the case alone, and masks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose

from shared.brains.transforms import BrainMaskd
from shared.runs.errors import DataListError
from shared.simulation.artefacts import ARTEFACTS, CLEAN, SEVERITIES, Artefactd, artefact_parameters, corrupted_cases

SHAPE = (40, 100, 45)
AFFINE = np.diag([4.0, 2, 4, 1])


def brain() -> MetaTensor:
    """An ellipsoid of two tissues with texture, 0 around it."""
    grid = np.indices(SHAPE) - np.reshape([20, 50, 22], (3, 1, 1, 1))
    radius = np.sqrt(sum((g / a) ** 2 for g, a in zip(grid, (15, 38, 16))))
    tissue = np.where(radius < 0.7, 100, 70) + np.random.default_rng(0).normal(0, 4, SHAPE)
    return MetaTensor(torch.from_numpy(np.where(radius < 1, tissue, 0)[None].astype(np.float32)), affine=AFFINE)


def corrupted(artefact: str, severity: int, case_id: str = "a", seed: int = 0) -> dict:
    """As the preprocessing of `evaluate_artefacts.json` makes it."""
    parameters = artefact_parameters(artefact, severity, case_id, seed) if severity else {}
    case = {"image": brain(), "artefact": artefact, "severity": severity, "artefact_parameters": parameters}
    mask = BrainMaskd("image")
    return Compose([mask, Artefactd("image"), mask])(case)


HEALTHY = BrainMaskd("image")({"image": brain()})


@pytest.mark.parametrize("artefact", ARTEFACTS)
def test_differences_grow_with_severity(artefact: str):
    changes = [corrupted(artefact, severity)["image"] - HEALTHY["image"] for severity in SEVERITIES]
    rms = [float(change.square().mean().sqrt()) for change in changes]
    assert rms[0] > 0 and all(low < high for low, high in zip(rms, rms[1:]))


@pytest.mark.parametrize("artefact", ARTEFACTS)
def test_same_case_same_result_and_another_case_another_draw(artefact: str):
    assert torch.equal(corrupted(artefact, 3)["image"], corrupted(artefact, 3)["image"])
    drawn, other, other_seed = (artefact_parameters(artefact, 3, *of) for of in (("a", 0), ("b", 0), ("a", 1)))
    draws = set(drawn) - set(ARTEFACTS[artefact].levels)
    for name in draws:
        assert drawn[name] != other[name] and drawn[name] != other_seed[name]
        assert drawn[name] == artefact_parameters(artefact, 5, "a", 0)[name]  # not of the severity
    assert json.loads(json.dumps(drawn)).keys() == drawn.keys()


@pytest.mark.parametrize("artefact", ARTEFACTS)
def test_mask_is_the_healthy_one_unless_the_extraction_failed(artefact: str):
    case, healthy = corrupted(artefact, 5), HEALTHY["brain_mask"]
    assert not case["image"][case["brain_mask"] == 0].any()
    larger, smaller = ((a > b).sum() for a, b in ((case["brain_mask"], healthy), (healthy, case["brain_mask"])))
    if artefact == "skull_left_in":
        assert larger > 0.1 * healthy.sum() and smaller == 0
    elif artefact == "brain_cut":
        assert larger == 0 and smaller / healthy.sum() == pytest.approx(0.25, abs=0.01)
    else:
        assert torch.equal(case["brain_mask"], healthy)


@pytest.mark.parametrize("case", [{}, {"artefact": CLEAN, "severity": 0, "artefact_parameters": {}}])
def test_a_clean_case_is_left_as_it_is(case: dict):
    found = Artefactd("image")({"image": brain(), "brain_mask": HEALTHY["brain_mask"], **case})
    assert torch.equal(found["image"], brain()) and "brain_mask" in found


@pytest.mark.parametrize("severity", [1, 5])
def test_bias_field_is_the_exponential_of_the_stated_polynomial(severity: int):
    """All 20 products of Legendre polynomials up to degree 3 with one coefficient."""
    (coefficient, _) = artefact_parameters("bias_field", severity, "a")["coeff_range"]
    axes = [np.polynomial.legendre.legvander(np.linspace(-1, 1, size), 3) for size in SHAPE]
    low = [(i, j, k) for i in range(4) for j in range(4) for k in range(4) if i + j + k <= 3]
    assert len(low) == 20
    field = sum(np.einsum("x,y,z->xyz", axes[0][:, i], axes[1][:, j], axes[2][:, k]) for i, j, k in low)
    expected = brain()[0].double().numpy() * np.exp(coefficient * field)
    assert np.allclose(corrupted("bias_field", severity)["image"][0], expected, rtol=1e-5)


def test_levels_of_the_released_code_are_among_the_severities():
    levels = {
        name: {parameter: values[severity - 1] for parameter, values in ARTEFACTS[name].levels.items()}
        for name, severity in (("gaussian_noise", 3), ("zipper", 3), ("middle_chunk", 3), ("spike", 5), ("ghosting", 5))
    }
    assert levels == {
        "gaussian_noise": {"level": 0.003},
        "zipper": {"positions": (60 / 192, 90 / 192, 120 / 192), "width": 5 / 192},
        "middle_chunk": {"thickness": 30 / 192},
        "spike": {"level": 4.0},
        "ghosting": {"intensity": 2.0},
    }


def test_movements_leave_the_middle_of_the_scan_alone_and_do_not_overlap():
    for case_id in map(str, range(50)):
        drawn = artefact_parameters("motion", 3, case_id)
        ends = np.ravel(drawn["intervals"])
        assert (np.diff(ends) > 0).all() and 0 < ends[0] and ends[-1] < 1
        assert ends[3] < 0.48 and ends[4] > 0.52
        assert np.allclose(np.linalg.norm(drawn["rotation_axes"], axis=1), 1)


class TestCorruptedCases:
    def test_each_case_as_it_is_and_with_everything(self):
        cases = [{"case_id": name, "image": f"{name}.nii.gz"} for name in ("a", "b")]
        listed = corrupted_cases(cases, ["spike", "motion"], [1, 4])
        names = ["", "_spike_1", "_spike_4", "_motion_1", "_motion_4"]
        assert [case["case_id"] for case in listed] == [f"{a}{name}" for a in ("a", "b") for name in names]
        assert listed[0] == {**cases[0], "healthy_id": "a", "artefact": CLEAN, "severity": 0, "artefact_parameters": {}}
        assert listed[9]["healthy_id"] == "b" and listed[9]["image"] == "b.nii.gz"
        assert listed[9]["artefact_parameters"] == artefact_parameters("motion", 4, "b")

    @pytest.mark.parametrize(
        ("artefacts", "severities", "message"),
        [
            (["rust"], [1], "no artefact 'rust': choose from gaussian_noise, zipper"),
            (["spike"], [0], "no severity 0 of spike: choose from 1"),
            (["spike"], [6], "no severity 6"),
            ([], [1], "choose artefacts of gaussian_noise"),
            (["spike"], [], "choose artefacts of"),
        ],
    )
    def test_what_is_not_there_is_refused(self, artefacts: list, severities: list, message: str):
        with pytest.raises(DataListError, match=message):
            corrupted_cases([{"case_id": "a"}], artefacts, severities)
