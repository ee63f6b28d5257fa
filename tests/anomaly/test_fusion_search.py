"""The handler that searches fusion weights: what it makes of an evaluator's cases, and which it refuses."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.inferers import Inferer

from shared.anomaly.fusion import search_weights
from shared.anomaly.fusion_search import FusionSearch
from tests.helpers.square_lesions import BRAIN, ELSEWHERE, LESION, SHAPE, TISSUE

SEQUENCES = ["t1", "t1ce", "flair"]
PREDICTION = np.random.default_rng(0).integers(-8, 8, size=(5, *SHAPE)).astype(np.float32)
HEALTHY = PREDICTION[1:4]


class Given(Inferer):
    """A pseudo-healthy brain that is always the same, between a map and a deviation that must not be read."""

    def __call__(self, inputs: torch.Tensor, network: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        return torch.as_tensor(PREDICTION)[None]


def case(name: str, **changed: Any) -> dict[str, Any]:
    """A lesion, half of it dark on T1 and half bright on FLAIR, faintly dark or bright on T1ce; best together."""
    half = LESION & (np.indices(SHAPE)[2] < 3)
    t1, t1ce, flair = -1.0 * half, np.where(half, 0.25, -0.25) * LESION, 1.0 * (LESION & ~half)
    t1, flair = t1 - 0.625 * TISSUE, flair + 0.625 * ELSEWHERE
    image = np.stack([*(HEALTHY + [t1, t1ce, flair]), BRAIN]).astype(np.float32)
    return {"case_id": name, "image": MetaTensor(image), "grid_label": MetaTensor(255.0 * LESION[None]), **changed}


def run(folder: Path, *cases: dict[str, Any], step: float = 0.5, **options: Any) -> None:
    errors = {"flair": "bright", "t1": "dark", "t1ce": "absolute"}
    search = FusionSearch(SEQUENCES, errors, str(folder / "fusion.json"), step=step)
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(list(cases)), batch_size=1),
        network=torch.nn.Identity(),
        inferer=Given(),
        val_handlers=[search],
        **options,
    ).run()


class TestFusionSearch:
    def test_writes_what_the_search_finds(self, tmp_path: Path, caplog: pytest.LogCaptureFixture):
        with caplog.at_level(logging.INFO, logger="shared.anomaly.fusion_search"):
            run(tmp_path, case("a"), case("b"))
        assert [path.name for path in tmp_path.iterdir()] == ["fusion.json"], "nothing temporary is left"
        written = json.loads((tmp_path / "fusion.json").read_text())
        assert list(written) == ["weights", "dice", "cases", "table"] and written["cases"] == ["a", "b"]
        signed = np.asarray(case("a")["image"])[:-1] - HEALTHY
        residual = np.stack([-signed[0], np.abs(signed[1]), signed[2]])
        best, table = search_weights([residual] * 2, [LESION] * 2, [BRAIN] * 2, step=0.5)
        assert written["table"] == [{"weights": dict(zip(SEQUENCES, w)), "dice": d} for w, d in table]
        assert written["weights"] == dict(zip(SEQUENCES, best)) and written["dice"] == table[0][1]
        assert len(table) == 6
        (record,) = caplog.records
        assert "fusion weights t1 " in record.getMessage() and "validation Dice" in record.getMessage()

    @pytest.mark.parametrize("absent", SEQUENCES)
    def test_case_without_a_sequence_is_refused(self, tmp_path: Path, absent: str):
        faulty = case("b")
        faulty["image"][SEQUENCES.index(absent)] = float("nan")
        with pytest.raises(ValueError, match=f"case 'b' lacks {absent}: search with cases that have all sequences"):
            run(tmp_path, case("a"), faulty)
        assert not list(tmp_path.iterdir())

    def test_case_without_a_lesion_is_refused(self, tmp_path: Path):
        unlabelled = {key: value for key, value in case("b").items() if key != "grid_label"}
        with pytest.raises(ValueError, match="case 'b' has no grid_label"):
            run(tmp_path, unlabelled)
        with pytest.raises(ValueError, match="case 'b' has no lesion"):
            run(tmp_path, case("b", grid_label=MetaTensor(np.zeros((1, *SHAPE)))))

    def test_other_channels_and_grids_are_refused(self, tmp_path: Path):
        with pytest.raises(ValueError, match="case 'b': image must be 4 channels .* got shape .3, 24"):
            run(tmp_path, case("b", image=case("b")["image"][1:]))
        with pytest.raises(ValueError, match="case 'b': grid_label must be 1 channels .* got shape .1, 48"):
            run(tmp_path, case("b", grid_label=MetaTensor(np.ones((1, 48, 40, 6)))))

        def mask_only(data: dict[str, Any]) -> dict[str, Any]:
            return {**data, "pred": data["pred"][:1]}

        with pytest.raises(ValueError, match="case 'b': pred must be 5 channels .* without any postprocessing"):
            run(tmp_path, case("b"), postprocessing=mask_only)

    @pytest.mark.parametrize("errors", [{"t1": "dark"}, {"t1": "dark", "flair": "squared"}])
    def test_every_sequence_needs_an_error(self, errors: dict[str, str]):
        with pytest.raises(ValueError, match="one of bright, dark, absolute for flair"):
            FusionSearch(["t1", "flair"], errors, "fusion.json")

    def test_step_is_refused_before_anything_runs(self):
        with pytest.raises(ValueError, match="step must divide 1"):
            FusionSearch(["flair"], {"flair": "bright"}, "fusion.json", step=0.3)
