"""The configs of MaC-DM: what training and inference share, the paper's form, and what the properties promise."""

from __future__ import annotations

import pytest
import torch

from shared.cases.radiograph_cases import MASKS
from shared.diffusion.hybrid_loss import HybridLoss
from shared.diffusion.unet import DiffusionUNet
from shared.diffusion.velocity import VelocityNetwork
from shared.simulation.phantom_tibia import write_dataset

SAME = ("size", "patch", "state_weights", "weight_mode", "masks_given", "velocity", "train_steps", "class_names")


@pytest.fixture(scope="module")
def parsed(macdm):
    return macdm.parsed


def shapes(network: torch.nn.Module) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in network.state_dict().items()}


@pytest.mark.parametrize("overlay", [[], ["chest_xray"], ["brain_slices"], ["metaphysis"]])
def test_training_makes_the_weights_that_inference_reads(parsed, overlay):
    used, made = parsed("inference", *overlay), parsed("train", *overlay)
    classifies = parsed("train", "train_classifier", *overlay)
    for name in SAME:
        assert used[name] == made[name] == classifies[name], name
    for network, config in (("network_def", made), ("classifier_def", classifies)):
        assert shapes(used.get_parsed_content(network)) == shapes(config.get_parsed_content("network_def"))
    for file, config in (("weights", made), ("classifier_weights", classifies)):
        assert used.get_parsed_content(file) == f"{config.get_parsed_content('ckpt_dir')}/model.pt"
    schedules = [config.get_parsed_content("alphas_cumprod") for config in (used, made, classifies)]
    assert torch.equal(schedules[0], schedules[1]) and torch.equal(schedules[0], schedules[2])


def test_by_default_the_velocity_is_learnt_and_the_papers_epsilon_is_one_switch_away(parsed):
    for name in ("train", "inference"):
        assert isinstance(parsed(name).get_parsed_content("network_def"), VelocityNetwork)
        assert isinstance(parsed(name, velocity=False).get_parsed_content("network_def"), DiffusionUNet)
    losses = [parsed("train", velocity=velocity).get_parsed_content("loss") for velocity in (True, False)]
    assert all(isinstance(loss, HybridLoss) and loss.vlb_weight == 0.001 for loss in losses)
    assert [loss.velocity for loss in losses] == [True, False]


def test_both_networks_see_the_same_state(parsed):
    denoises, classifies = parsed("train"), parsed("train", "train_classifier")
    batch = {key: torch.rand(2, 1, 8, 8).round() for key in ("radiograph", *MASKS)} | {"class_label": torch.ones(2)}
    inputs = []
    for config in (denoises, classifies):
        torch.manual_seed(0)
        inputs.append(config.get_parsed_content("train#prepare_batch")(batch)[0])
    assert torch.equal(*inputs)


@pytest.mark.parametrize("overlays", [[], ["train_classifier"], ["chest_xray"]])
def test_radiographs_are_read_once_and_changed_at_random_in_training_alone(parsed, tmp_path, overlays):
    write_dataset(tmp_path, 8, (None, "corner"), size=32, seed=0)
    config = parsed("train", *overlays, dataset_dir=str(tmp_path), size=32, batch_size=4, val_noises=1)
    maps, found = ("radiograph", *MASKS), {}
    loaders = {phase: config.get_parsed_content(f"{phase}#dataloader") for phase in ("train", "validate")}
    for file in tmp_path.glob("*.png"):
        file.unlink()
    for phase, loader in loaders.items():
        batch = next(iter(loader))
        assert {type(batch[key]) for key in maps} == {torch.Tensor}
        found[phase] = []
        for augment in (True, False):
            prepare = config.get_parsed_content(f"{phase}#prepare_batch")
            prepare.augment = prepare.augment if augment else None
            torch.manual_seed(0)
            prepare(batch, None)  # draws the augmentation first
            found[phase].append(torch.rand(1))
    assert torch.equal(*found["validate"]) and not torch.equal(*found["train"])
    flips = config.get_parsed_content("train#prepare_batch").augment
    assert config["augment_batch"]["flip"] == (0.0 if overlays == ["chest_xray"] else 0.5)
    assert flips is None or flips.flip == config["augment_batch"]["flip"]


def test_normals_and_fractures_are_trained_on_in_equal_number(parsed, tmp_path):
    write_dataset(tmp_path, 8, (None, None, None, "corner"), size=32, seed=0)
    config = parsed("train", dataset_dir=str(tmp_path), size=32, batch_size=4, samples_per_epoch=8)
    labels = torch.cat([batch["class_label"] for batch in config.get_parsed_content("train#dataloader")])
    assert labels.tolist().count(1) == 4 and len(labels) == 8


def test_default_draws_25_samples_in_few_evaluations(parsed):
    config = parsed("inference")
    assert config["steps"] <= 25 and config["sampler"] == "dpmpp_2m"


def test_properties_of_the_workflows_are_there(macdm, tmp_path):
    write_dataset(tmp_path, 8, (None, "corner"), size=32, seed=0)
    missing = macdm.missing_properties({}, {"dataset_dir": tmp_path})
    assert missing == {"infer": [], "train": []}
