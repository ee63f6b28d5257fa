"""What networks are shown of radiographs, and what is kept of what they say."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from monai.networks.nets import resnet10
from torch import nn

from shared.evaluation.described_radiographs import describe

SIZE = 32


class MeanLogits(nn.Module):
    """Logits (0, ln 3) for a bright image, so that p(class 1) is 3 / 4, and (ln 3, 0) for a dark one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = x.mean(dim=(1, 2, 3)) > 0
        return np.log(3) * torch.stack([~bright, bright], dim=1).float()


class Halves(nn.Module):
    """Draws the upper half as tibia, by logits between 0 and 1 that are no probabilities, and the left as lesion."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(x), 2, SIZE, SIZE), -0.2)
        logits[:, 0, : SIZE // 2] = 0.2
        logits[:, 1, :, : SIZE // 2] = 0.2
        return logits


@pytest.fixture(scope="module")
def cases() -> list[dict]:
    """Seven radiographs, bright where of class 1, with the left half as tibia and the upper left quarter as lesion."""
    generator, made = np.random.default_rng(0), []
    for n in range(7):
        radiograph, masks = generator.uniform(-0.2, 0.2, (1, SIZE, SIZE)) + (0.5 if n % 2 else -0.5), {}
        for key, rows in (("tibia_mask", SIZE), ("lesion_mask", SIZE // 2 if n % 2 else 0)):
            masks[key] = torch.zeros(1, SIZE, SIZE)
            masks[key][:, :rows, : SIZE // 2] = 1
        radiograph = torch.tensor(radiograph, dtype=torch.float32)
        made.append({"case_id": f"case{n}", "class_label": n % 2, "radiograph": radiograph, **masks})
    return made


def test_the_words_of_each_network_stay_with_their_radiograph(cases):
    found = describe(cases, dict, classifier=MeanLogits(), segmenter=Halves(), batch_size=3)
    assert len(found) == 7 and found.case_ids == [case["case_id"] for case in cases]
    assert found.labels.tolist() == [0, 1] * 3 + [0]
    assert np.array_equal(found.radiographs, np.stack([case["radiograph"][0] for case in cases]))
    assert found.masks.dtype == bool and found.masks[1].sum(axis=(1, 2)).tolist() == [SIZE**2 / 2, SIZE**2 / 4]
    assert found.probabilities == pytest.approx(np.where(found.labels, 3 / 4, 1 / 4))
    # Halves that cross share a quarter: 2 x 1/4 / (1/2 + 1/2). A quarter within a half: 2 x 1/4 / (1/4 + 1/2).
    assert found.dice[:, 0] == pytest.approx(np.full(7, 1 / 2))
    assert found.dice[:, 1] == pytest.approx(np.where(found.labels, 2 / 3, np.nan), nan_ok=True)
    assert found.features is None


def test_features_are_what_the_last_layer_is_given_in_evaluation_mode(cases):
    torch.manual_seed(0)
    network = resnet10(spatial_dims=2, n_input_channels=1, num_classes=2, conv1_t_stride=2)
    original = copy.deepcopy(network).eval()
    found = describe(cases, dict, features=network.train())
    assert found.features.shape == (7, 512)
    logits = original(torch.stack([case["radiograph"] for case in cases])).detach()
    again = original.fc(torch.tensor(found.features)).detach()
    assert torch.allclose(again, logits, atol=1e-5) and logits.std() > 1e-3
    assert np.allclose(describe(cases, dict, features=network, batch_size=2).features, found.features, atol=1e-5)
    assert found.probabilities is None and found.dice is None
