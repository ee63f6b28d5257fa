"""Several sequences in one image: their order, absent ones, 4D files, MONAI Label, and back to the grid of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import monai.transforms as mt
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.inferers import Inferer

from shared.anomaly.native_maps import NativeMapsd
from shared.anomaly.threshold_map import ThresholdMapd
from shared.brains.loading import LoadVolumesd
from shared.brains.sequence_channels import SequenceChannelsd
from shared.brains.slices import SliceSpacingd
from shared.brains.transforms import BrainMaskd, BrainNormalized
from shared.cases.sequence_cases import gather_sequence_cases
from shared.reports.saved_maps import SaveCaseMapsd
from tests.helpers.ellipsoid_brain import AFFINE, BRAIN, save

SEQUENCES = ["t1", "t1ce", "flair"]
DECATHLON = ["flair", "t1", "t1ce", "t2"]
SHAPE = (4, 5, 3)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0]) @ AFFINE
BRAINS = {"flair": BRAIN, "t1": 150 * (BRAIN != 0) - BRAIN, "t1ce": 3 * BRAIN, "t2": 2 * BRAIN}


def volume(*values: float, **meta: Any) -> MetaTensor:
    """``C X Y Z``, one value for each channel."""
    data = torch.tensor(values)[:, None, None, None].expand(-1, *SHAPE).clone()
    return MetaTensor(data, meta={"affine": torch.diag(torch.tensor([2.0, 2, 5, 1])), **meta})


def channel_values(data: dict[str, Any]) -> list[float]:
    """The value of each channel, ``nan`` for NaN throughout."""
    image = np.asarray(data["image"])
    assert all(len(np.unique(channel)) == 1 for channel in image) and image.shape[1:] == SHAPE
    return [float(channel[0, 0, 0]) for channel in image]


NAN = float("nan")


@pytest.mark.parametrize(
    ("given", "stacked", "native"),
    [
        ({"image": (3.0,), "sequence": "flair", "t1": (1.0,), "t1ce": (2.0,)}, [1, 2, 3], 3),
        ({"image": (2.0,), "sequence": "t1ce", "t1": (1.0,)}, [1, 2, NAN], 2),
        ({"image": (1.0,), "sequence": "t1"}, [1, NAN, NAN], 1),
        ({"image": (3.0,)}, [NAN, NAN, 3], 3),
        ({"image": (3.0,), "sequence": "image"}, [NAN, NAN, 3], 3),
        ({"image": (1.0, 2.0, 3.0)}, [1, 2, 3], 3),
        ({"image": (1.0, 2.0, 3.0), "sequence": "image"}, [1, 2, 3], 3),
    ],
)
def test_sequences_come_in_their_order_and_absent_ones_are_nan(given, stacked, native):
    data = {key: volume(*value) if isinstance(value, tuple) else value for key, value in given.items()}
    result = SequenceChannelsd(SEQUENCES)({**data, "case_id": "a", "label": "l"})
    np.testing.assert_equal(channel_values(result), stacked)
    assert result["native_image"].shape == (1, *SHAPE) and (result["native_image"] == native).all()
    assert set(result) == {"image", "native_image", "case_id", "label"} | ({"sequence"} & set(given))
    assert len(data["image"]) == len(given["image"]) and set(data) == set(given), "the input is left alone"


@pytest.mark.parametrize(
    ("channels", "values", "stacked", "native"),
    [
        (DECATHLON, (3.0, 1.0, 2.0, 9.0), [1, 2, 3], 3),
        (["t2", "t1ce", "t1"], (9.0, 2.0, 1.0), [1, 2, NAN], 2),
        (["t1"], (1.0,), [1, NAN, NAN], 1),
    ],
)
def test_volumes_of_a_4d_file_are_named_by_the_channels(channels, values, stacked, native):
    result = SequenceChannelsd(SEQUENCES, channels=channels)({"image": volume(*values), "sequence": "image"})
    np.testing.assert_equal(channel_values(result), stacked)
    assert (result["native_image"] == native).all()


def test_a_file_of_one_sequence_is_that_whatever_the_channels():
    transform = SequenceChannelsd(SEQUENCES, "t1ce", channels=DECATHLON)
    np.testing.assert_equal(channel_values(transform({"image": volume(1.0), "sequence": "t1"})), [1, NAN, NAN])
    np.testing.assert_equal(channel_values(transform({"image": volume(2.0)})), [NAN, 2, NAN])


@pytest.mark.parametrize(
    ("channels", "data", "message"),
    [
        ((), {"image": (1.0, 2.0)}, r"the image has 2 volumes, not 3 \(t1, t1ce, flair\).*--channels \"\['flair'"),
        (DECATHLON, {"image": (1.0, 2.0, 3.0)}, r"the image has 3 volumes, not 4 \(flair, t1, t1ce, t2\)"),
        ((), {"image": (1.0,), "sequence": "t2"}, "none of the sequences t1, t1ce, flair is there, only t2"),
    ],
)
def test_what_cannot_be_told_is_an_error(channels, data, message):
    with pytest.raises(ValueError, match=message):
        SequenceChannelsd(SEQUENCES, channels=channels)({**data, "image": volume(*data["image"])})


def test_channels_without_a_known_sequence_are_an_error():
    with pytest.raises(ValueError, match="know only t1, t1ce, flair"):
        SequenceChannelsd(SEQUENCES, channels=["t2"])


def test_metadata_are_those_of_the_primary_sequence():
    data = {"image": volume(3.0, name="f"), "sequence": "flair", "t1": volume(1.0, name="t")}
    result = SequenceChannelsd(SEQUENCES)(data)
    for key in ("image", "native_image"):
        assert result[key].meta["name"] == "f" and result[key].affine[2, 2] == 5
    result["image"].meta["name"] = "x"
    assert result["native_image"].meta["name"] == "f" and data["image"].meta["name"] == "f"


def preprocessing(**options: Any) -> mt.Compose:
    """The preprocessing of configs/inference.json."""
    loaded, keys = ["image", *SEQUENCES, "brain_mask", "label"], ["image", "brain_mask"]
    return mt.Compose(
        [
            LoadVolumesd(loaded),
            SequenceChannelsd(SEQUENCES, **options),
            BrainMaskd("native_image"),
            mt.CopyItemsd("brain_mask", names="native_brain_mask"),
            mt.Orientationd(keys, axcodes="RAS", labels=None),
            SliceSpacingd(keys, pixel_mm=2.5, min_step_mm=2.5, mode=["bilinear", "nearest"]),
            mt.CropForegroundd(keys, source_key="brain_mask", start_coord_key=None, end_coord_key=None),
            mt.SpatialPadd(keys, spatial_size=[80, 80, 1]),
            mt.DivisiblePadd(keys, k=[16, 16, 1]),
            BrainNormalized("image"),
            mt.ConcatItemsd(keys, name="image"),
        ]
    )


class Same(Inferer):
    """Returns the sequences as they are, the first present one as map, and 1 as its standard deviation."""

    def __call__(self, inputs: torch.Tensor, network: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        images = inputs[:, :-1]
        first = [n for n, image in enumerate(images[0]) if not image.isnan().any()][0]
        return torch.cat([images[:, [first]] + 3, images, torch.ones_like(images[:, :1])], dim=1)


def case_of(folder: Path, kind: str) -> tuple[dict[str, str], dict[str, Any]]:
    """A case and the options of its preprocessing."""
    if kind == "4D":
        save(folder / "scan.nii.gz", np.stack([BRAINS[name] for name in DECATHLON], -1), LPS)
        options = {"channels": DECATHLON}
        (case,) = gather_sequence_cases(SEQUENCES, image=str(folder / "scan.nii.gz"), **options)
        return case, options
    for name, values in BRAINS.items():
        flat = values[:, :, 32] if kind == "2D" else values
        save(folder / f"scan_{name}.nii.gz", flat, LPS)
    given = {name: str(folder / f"scan_{name}.nii.gz") for name in (["t1ce"] if kind == "one" else ["t1", "flair"])}
    (case,) = gather_sequence_cases(SEQUENCES, files=given)
    return case, {}


@pytest.mark.parametrize(
    ("kind", "present", "shape"),
    [
        ("4D", ["t1", "t1ce", "flair"], (64, 64, 64)),
        ("3D", ["t1", "flair"], (64, 64, 64)),
        ("one", ["t1ce"], (64, 64, 64)),
        ("2D", ["t1", "flair"], (64, 64, 1)),
    ],
)
def test_every_sequence_comes_back_on_the_grid_of_the_file_in_its_own_intensities(tmp_path, kind, present, shape):
    case, options = case_of(tmp_path, kind)
    written = ["pseudo_healthy", "anomaly_map", "uncertainty"]
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset([case], preprocessing(**options)), batch_size=1),
        network=torch.nn.Identity(),
        inferer=Same(),
        postprocessing=mt.Compose(
            [NativeMapsd(reconstructions=3), ThresholdMapd(threshold=2.0), SaveCaseMapsd(str(tmp_path / "out"))]
        ),
    )
    evaluator.run()
    (output,) = evaluator.state.output
    (batch,) = evaluator.state.batch
    brains = {name: values[:, :, [32]] if kind == "2D" else values for name, values in BRAINS.items()}
    for channel, name in zip(output["pseudo_healthy"], present, strict=True):
        np.testing.assert_allclose(np.asarray(channel), brains[name], atol=1e-3)
    np.testing.assert_array_equal(np.asarray(batch["native_image"][0]), brains[present[-1]])
    scale = np.percentile(brains[present[0]][BRAIN[..., [32]] != 0 if kind == "2D" else BRAIN != 0], 90) / 6
    np.testing.assert_allclose(np.asarray(output["anomaly_map"][0]), brains[present[0]] / scale / 2, rtol=1e-4)
    np.testing.assert_allclose(np.asarray(output["uncertainty"][0]), 0.5 * (brains["flair"] != 0), atol=1e-5)

    files = {key: nib.load(tmp_path / "out" / f"scan_{key}.nii.gz") for key in written}
    flat = shape[:2] if kind == "2D" else shape
    assert files["pseudo_healthy"].shape == ((*shape, len(present)) if len(present) > 1 else flat)
    assert files["anomaly_map"].shape == files["uncertainty"].shape == flat
    for file in files.values():
        np.testing.assert_allclose(file.affine, LPS, atol=1e-5)


def test_network_sees_nan_for_absent_sequences_only_and_the_background_is_minus_3(tmp_path):
    case, options = case_of(tmp_path, "3D")
    data = preprocessing(**options)(case)
    t1, t1ce, flair, mask = np.asarray(data["image"])
    assert np.isnan(t1ce).all() and (t1[mask == 0] == -3).all() and (flair[mask == 0] == -3).all()
    assert mask.shape == (80, 80, 44), "cropped to the brain and padded"
    assert [np.isnan(scale) for scale in data["intensity_scale"]] == [False, True, False]


def test_monai_label_gives_one_file_and_nothing_else(tmp_path):
    """No door, no name of a sequence; the shape of the file is what its Restored and its writer read."""
    (tmp_path / "3d").mkdir()
    save(tmp_path / "3d" / "x.nii.gz", BRAIN, LPS)
    save(tmp_path / "x.nii.gz", np.stack([BRAINS[name] for name in DECATHLON], -1), LPS)
    for file, options in (("3d/x.nii.gz", {"sequence": "t1"}), ("x.nii.gz", {"channels": DECATHLON})):
        path = str(tmp_path / file)
        data = preprocessing(**options)({"image": path, "image_path": path})
        assert data["native_image"].shape == (1, 64, 64, 64) and data["image"].shape[0] == 4
        for key in ("image", "native_image"):
            assert list(data[key].meta["spatial_shape"]) == [64, 64, 64]
            np.testing.assert_allclose(np.asarray(data[key].meta["original_affine"]), LPS, atol=1e-6)
            assert data[key].meta["filename_or_obj"] == path
        assert nib.aff2axcodes(np.asarray(data["image"].affine)) == ("R", "A", "S")
        np.testing.assert_allclose(np.asarray(data["native_image"].affine), LPS, atol=1e-6)


def test_a_sequence_not_in_use_counts_as_absent():
    volumes = MetaTensor(torch.arange(1.0, 4.0)[:, None, None, None].expand(3, 2, 2, 2), affine=torch.eye(4))
    done = SequenceChannelsd(["t1", "t1ce", "flair"], used_sequences=["t1"])({"image": volumes})
    assert (done["image"][0] == 1).all() and done["image"][1:].isnan().all() and (done["native_image"] == 1).all()
    with pytest.raises(ValueError, match="do not know t2, only t1, t1ce, flair"):
        SequenceChannelsd(["t1", "t1ce", "flair"], used_sequences=["t2"])
