"""make_datalist: every kind of source, from the command's arguments to cases that gather_cases reads."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from shared.cases.datalists import gather_cases
from shared.cases.radiograph_cases import gather_radiographs
from shared.cases.splits import SECTIONS, check_splits
from shared.radiographs.door import RadiographDoor
from shared.radiographs.reading import read_mask
from tests.helpers.real_data import DATA, needs_data
from tests.helpers.source_layouts import PATIENTS, USABLE, write_chests, write_gliomas
from tools.make_datalist import main


def save(path: Path, shape: tuple[int, ...] = (4, 5, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(zlib.crc32(str(path).encode())).integers(0, 999, shape)  # each file another image
    nib.save(nib.Nifti1Image(data.astype(np.int16), np.eye(4)), path)


def read(output: Path) -> dict[str, list[dict[str, str]]]:
    listed = json.loads(output.read_text(encoding="utf-8"))
    check_splits(listed)
    cases = {section: listed[section] for section in SECTIONS}
    for case in (case for section in cases.values() for case in section):
        for key in case.keys() - {"case_id", "patient_id", "class_label"}:
            assert (output.parent / case[key]).is_file(), case[key]
    return cases


def test_folder_keeps_sequences_and_visits_of_a_patient_together(tmp_path, capsys):
    for patient in range(10):
        for visit in (1, 2):
            stem = f"in/sub-{patient}/ses-{visit}/sub-{patient}_ses-{visit}"
            save(tmp_path / f"{stem}_T1w.nii.gz")
            save(tmp_path / f"{stem}_FLAIR.nii.gz")
            save(tmp_path / f"{stem}_label.nii.gz")
    output = tmp_path / "lists" / "list.json"
    arguments = ["folder", str(tmp_path / "in"), str(output), "--fractions", "0.6", "0.2", "0.2"]
    assert main([*arguments, "--seed", "3"]) == 0
    assert capsys.readouterr().out.strip().endswith("list.json: 12 training, 4 validation, 4 test cases")
    sections = read(output)
    case = sections["test"][0]
    assert set(case) == {"case_id", "patient_id", "t1", "flair", "label"} and not Path(case["t1"]).is_absolute()
    first = output.read_text()
    assert main([*arguments, "--seed", "3"]) == 0 and output.read_text() == first
    assert main([*arguments, "--seed", "4"]) == 0 and output.read_text() != first
    assert len(gather_cases(datalist=str(output), section="validation", sequence="flair")) == 4


def test_names_as_brain_extraction_writes_them_are_subjects_with_their_sequences_and_masks(tmp_path):
    for subject in ("anna", "bert", "carl"):
        for name in ("t1_brain", "t1_brain_mask", "flair_brain", "flair_brain_mask"):
            save(tmp_path / "in" / f"{subject}_{name}.nii.gz")
    assert main(["folder", str(tmp_path / "in"), str(tmp_path / "l.json")]) == 0
    cases = {case["case_id"]: case for section in read(tmp_path / "l.json").values() for case in section}
    assert set(cases) == {"anna", "bert", "carl"}
    files = {
        "t1": "t1_brain",
        "flair": "flair_brain",
        "brain_mask": "flair_brain_mask",
        "t1_brain_mask": "t1_brain_mask",
    }
    expected = {key: f"in/anna_{name}.nii.gz" for key, name in files.items()}
    assert cases["anna"] == {"case_id": "anna", **expected}


def test_names_without_a_sequence_are_listed(tmp_path, capsys):
    for number in range(12):
        save(tmp_path / "in" / f"p{number:02}.nii")
    assert main(["folder", str(tmp_path / "in"), str(tmp_path / "l.json")]) == 1
    said = capsys.readouterr().err
    assert "12 of 12 names" in said and "p00, p01" in said and "p09, ..." in said and "--sequence" in said


def test_what_no_name_tells_is_not_to_be_called_a_sequence_beside_those_that_are(tmp_path, capsys):
    for name in ("T1", "unknown"):
        save(tmp_path / "in" / "p1" / f"{name}.nii")
    assert main(["folder", str(tmp_path / "in"), str(tmp_path / "l.json")]) == 1
    said = capsys.readouterr().err
    assert "p1/unknown. Rename them or leave them out" in said and "--sequence" not in said


def test_series_of_a_scanner_are_one_case_of_the_patient_whose_folder_they_lie_in(tmp_path):
    for patient in ("P001", "P002", "P003"):
        for name in ("301_t1_mprage_sag", "401_t2_flair_tra", "501_t2_tse_tra", "901_t1_tse_tra_KM", "101_localizer"):
            save(tmp_path / "in" / patient / f"{name}.nii.gz")
    assert main(["folder", str(tmp_path / "in"), str(tmp_path / "l.json")]) == 0
    cases = [case for section in read(tmp_path / "l.json").values() for case in section]
    assert sorted(case["case_id"] for case in cases) == ["P001", "P002", "P003"]
    assert cases[0].keys() == {"case_id", "t1", "flair", "t2", "t1ce"}


def test_channels_of_nnunet_are_named_in_their_order(tmp_path):
    for case in ("A_001", "A_002"):
        for channel in range(2):
            save(tmp_path / "in" / "imagesTr" / f"{case}_000{channel}.nii.gz")
        save(tmp_path / "in" / "labelsTr" / f"{case}.nii.gz")
    assert main(["folder", str(tmp_path / "in"), str(tmp_path / "l.json"), "--channels", "flair", "t1"]) == 0
    cases = {case["case_id"]: case for section in read(tmp_path / "l.json").values() for case in section}
    images = {"flair": "in/imagesTr/A_001_0000.nii.gz", "t1": "in/imagesTr/A_001_0001.nii.gz"}
    assert cases["A_001"] == {"case_id": "A_001", **images, "label": "in/labelsTr/A_001.nii.gz"}


def test_a_scan_whose_mask_cannot_be_told_is_left_out_and_named(tmp_path, capsys):
    for name in ("run-1_T1w", "run-2_T1w", "run-1_label-lesion_mask", "run-3_label-lesion_mask"):
        save(tmp_path / "bids" / "sub-1" / "anat" / f"sub-1_{name}.nii.gz")
    assert main(["bids", str(tmp_path / "bids"), str(tmp_path / "l.json")]) == 2
    said = capsys.readouterr().err
    assert (
        "'sub-1_run-2' left out: cannot be told which label is its: sub-1_run-1_label-lesion_mask.nii.gz, sub" in said
    )
    assert [case["label"] for case in read(tmp_path / "l.json")["training"]] == [
        "bids/sub-1/anat/sub-1_run-1_label-lesion_mask.nii.gz"
    ]


def test_folders_of_sections_are_no_patients_and_an_empty_section_is_named(tmp_path, capsys):
    for name in (f"{section}/{n}_t1" for section in ("train", "test") for n in range(1, 5)):
        save(tmp_path / "in" / f"{name}.nii.gz")
    assert main(["folder", str(tmp_path / "in"), str(tmp_path / "l.json"), "--fractions", "0.5", "0", "0.5"]) == 0
    said = capsys.readouterr()
    assert said.err == "0 cases in validation: the names tell of 4 patients, and a patient is in one section\n"
    assert said.out.endswith("l.json: 4 training, 0 validation, 4 test cases\n")
    training = {case["patient_id"] for case in read(tmp_path / "l.json")["training"]}
    assert len(training) == 2 and training < set("1234")


def test_plain_folder_takes_the_stated_sequence(tmp_path):
    for name in ("a", "b_visit2", "b_visit1"):
        save(tmp_path / "in" / f"{name}.nii")
    assert main(["folder", str(tmp_path / "in"), str(tmp_path / "l.json"), "--sequence", "t2"]) == 0
    cases = {case["case_id"]: case for section in read(tmp_path / "l.json").values() for case in section}
    assert cases["a"] == {"case_id": "a", "t2": "in/a.nii"}
    assert cases["b_visit1"]["patient_id"] == cases["b_visit2"]["patient_id"] == "b"


@pytest.mark.parametrize(
    ("kind", "name", "extension"),
    [("brats2020", "BraTS20_Training_{:03d}", "nii"), ("brats2021", "BraTS2021_{:05d}", "nii.gz")],
)
def test_brats_segmentation_is_the_label(tmp_path, kind, name, extension):
    for i in range(5):
        case = name.format(i)
        for ending in ("t1", "t1ce", "t2", "flair", "seg"):
            save(tmp_path / "MICCAI" / case / f"{case}_{ending}.{extension}")
    case = name.format(355)
    save(tmp_path / "MICCAI" / case / f"{case}_t1.{extension}")
    save(tmp_path / "MICCAI" / case / f"W39_1998.09.19_Segm.{extension}")  # so it is in the release of 2020
    assert main([kind, str(tmp_path), str(tmp_path / "l.json")]) == 0
    cases = {case["case_id"]: case for section in read(tmp_path / "l.json").values() for case in section}
    assert len(cases) == 6
    assert set(cases[name.format(0)]) == {"case_id", "t1", "t1ce", "t2", "flair", "label"}
    assert set(cases[case]) == {"case_id", "t1", "label"}


def test_msd_files_are_split_into_sequences(tmp_path):
    source = tmp_path / "Task01_BrainTumour"
    pairs = [{"image": f"./imagesTr/BRATS_{i}.nii.gz", "label": f"./labelsTr/BRATS_{i}.nii.gz"} for i in range(3)]
    for pair in pairs:
        save(source / pair["image"], (4, 5, 6, 4))
        save(source / pair["label"])
    modality = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    (source / "dataset.json").write_text(json.dumps({"modality": modality, "training": pairs}))
    output = tmp_path / "out" / "msd.json"
    assert main(["msd", str(source), str(output)]) == 0
    case = next(case for section in read(output).values() for case in section if case["case_id"] == "BRATS_1")
    whole = nib.load(source / "imagesTr" / "BRATS_1.nii.gz")
    for i, sequence in enumerate(("flair", "t1", "t1ce", "t2")):
        part = nib.load(output.parent / case[sequence])
        assert np.array_equal(part.dataobj, whole.dataobj[..., i]) and part.get_data_dtype() == np.int16
    assert len(list((tmp_path / "out" / "msd_volumes").iterdir())) == 12


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("folder", "0 NIfTI files"),
        ("brats2020", "0 folders BraTS20_"),
        ("wmh", "0 folders with pre/FLAIR.nii.gz"),
        ("msd", "dataset.json"),
        ("lgg2d", "patients.csv"),
        ("chest_xray", "split.csv"),
        ("lgg2d_slices", "patients.csv"),
    ],
)
def test_wrong_source_is_named(tmp_path, capsys, kind, message):
    assert main([kind, str(tmp_path), str(tmp_path / "l.json")]) == 1
    assert message in capsys.readouterr().err
    assert main([kind, str(tmp_path / "none"), str(tmp_path / "l.json")]) == 1
    assert "is not a folder" in capsys.readouterr().err
    assert not (tmp_path / "l.json").exists()


def labels(cases: list[dict]) -> list[int]:
    return [case["class_label"] for case in cases]


def test_chests_have_lungs_and_a_class_and_their_own_split(tmp_path):
    output = tmp_path / "l.json"
    assert main(["chest_xray", str(write_chests(tmp_path / "in")), str(output)]) == 0
    sections = read(output)
    assert [labels(sections[section]) for section in SECTIONS] == [[0, 0, 1, 1]] * 3
    assert sections["validation"][2] == {
        "case_id": "MCUCXR_0006_1",
        "image": "in/cxr/MCUCXR_0006_1.png",
        "tibia_mask": "in/masks/MCUCXR_0006_1.png",
        "class_label": 1,
    }
    needs = ("tibia_mask", "class_label")
    door = RadiographDoor(gather_radiographs(str(output), "training"), needs, both_classes=True)
    door.require_some()
    assert len(door.cases) == 4


def test_chests_without_a_split_are_dealt_by_the_seed(tmp_path):
    source, output = write_chests(tmp_path / "in", split=False), tmp_path / "l.json"
    assert main(["chest_xray", str(source), str(output), "--fractions", "0.5", "0.25", "0.25"]) == 0
    dealt = read(output)
    assert [len(dealt[section]) for section in SECTIONS] == [6, 3, 3]
    assert len({case["case_id"] for cases in dealt.values() for case in cases}) == 12
    assert main(["chest_xray", str(source), str(output), "--seed", "1"]) == 0 and read(output) != dealt


@pytest.mark.parametrize(("old", "new"), [("abnormal", "odd"), ("val,", "valid,")])
def test_chest_of_an_unknown_class_or_section_is_named(tmp_path, capsys, old, new):
    table = write_chests(tmp_path / "in") / "split.csv"
    table.write_text(table.read_text().replace(old, new))
    assert main(["chest_xray", str(tmp_path / "in"), str(tmp_path / "l.json")]) == 1
    assert new.strip(",") in capsys.readouterr().err


def test_glioma_slices_lie_beside_the_list_and_keep_the_split_of_their_patients(tmp_path):
    output = tmp_path / "out" / "l.json"
    assert main(["lgg2d_slices", str(write_gliomas(tmp_path / "in")), str(output)]) == 0
    sections = read(output)
    for section, patient in zip(SECTIONS, PATIENTS):
        assert labels(sections[section]) == list(USABLE.values())
        assert {case["patient_id"] for case in sections[section]} == {patient}
    first = sections["training"][0]
    assert first["case_id"] == "a_z002" and first["lesion_mask"] == "l_slices/a_z002_lesion_mask.png"
    assert len(list((tmp_path / "out" / "l_slices").iterdir())) == 3 * 3 * len(USABLE)
    needs = ("tibia_mask", "lesion_mask", "class_label")
    door = RadiographDoor(gather_radiographs(str(output), "training"), needs, both_classes=True)
    assert len(door.cases) == len(USABLE) and not door.failures


def test_a_damaged_volume_of_slices_is_named(tmp_path, capsys):
    write_gliomas(tmp_path / "in")
    (tmp_path / "in" / "b" / "brain.nii.gz").write_bytes(b"")
    assert main(["lgg2d_slices", str(tmp_path / "in"), str(tmp_path / "l.json")]) == 1
    assert "brain.nii.gz" in capsys.readouterr().err and not (tmp_path / "l.json").exists()


def test_a_scan_with_a_finding_is_in_no_section(tmp_path):
    rng = np.random.default_rng(0)
    subjects = {"IXI001": "train", "IXI002": "val", "IXI003": "val"}
    for subject in subjects:
        nib.save(nib.Nifti1Image(rng.random((4, 4, 4)), np.eye(4)), tmp_path / f"{subject}_T1.nii.gz")
    rows = "".join(f"{subject},{split}\n" for subject, split in subjects.items())
    (tmp_path / "subjects.csv").write_text(f"subject,split\n{rows}")
    (tmp_path / "findings.csv").write_text("subject,finding\nIXI003,a lesion\n")
    assert main(["ixi", str(tmp_path), str(tmp_path / "l.json")]) == 0
    listed = {section: [case["case_id"] for case in cases] for section, cases in read(tmp_path / "l.json").items()}
    assert listed == {"training": ["IXI001"], "validation": ["IXI002"], "test": []}


@pytest.mark.real_data
@needs_data
@pytest.mark.parametrize(
    ("kind", "folder", "counts", "keys"),
    [
        ("ixi", "ixi_t1", (72, 8, 9), {"t1"}),
        ("ixi", "ixi_t1_more", (28, 1, 0), {"t1"}),
        ("ixi_raw", "ixi_t1_raw", (0, 0, 2), {"t1"}),
        ("lgg2d", "lgg2d", (30, 7, 10), {"t1", "t1ce", "flair", "brain_mask", "label"}),
        ("ms_mni", "ms_mni", (0, 0, 1), {"t1", "t1ce", "t2", "flair", "label"}),
        ("chest_xray", "chest_xray_montgomery", (90, 10, 10), {"image", "tibia_mask", "class_label"}),
    ],
)
def test_shared_data_keep_their_split(tmp_path, kind, folder, counts, keys):
    output = tmp_path / "l.json"
    assert main([kind, str(DATA / folder), str(output)]) == 0
    sections = read(output)
    assert tuple(len(sections[section]) for section in SECTIONS) == counts
    assert all(case.keys() == {"case_id"} | keys for section in sections.values() for case in section)


LESJAK = {
    "FLAIR": "flair",
    "T1W": "t1",
    "T1WKS": "t1ce",
    "T2W": "t2",
    "consensus_gt": "label",
    "brainmask": "brain_mask",
}
ATLAS = "Training/R001/sub-r001s00{n}/ses-1/anat/sub-r001s00{n}_ses-1_space-MNI152NLin2009aSym_"
ISLES = "sub-strokecase000{n}/ses-0001/"
BRATS = "BraTS-GLI-0000{n}-000/BraTS-GLI-0000{n}-000-"
PUBLIC_SETS = {
    "MSLUB": ("folder", {f"patient0{{n}}/patient0{{n}}_{name}": key for name, key in LESJAK.items()}),
    "open_ms_data": ("folder", {f"patient0{{n}}/{name}": key for name, key in LESJAK.items()}),
    "WMH": (
        "wmh",
        {"Utrecht/{n}/pre/FLAIR": "flair", "Utrecht/{n}/pre/T1": "t1", "Utrecht/{n}/wmh": "label"}
        | dict.fromkeys(("Utrecht/{n}/pre/3DT1", "Utrecht/{n}/orig/FLAIR", "Utrecht/{n}/orig/3DT1"), ""),
    ),
    "ATLAS": ("bids", {f"{ATLAS}T1w": "t1", f"{ATLAS}label-L_desc-T1lesion_mask": "label"}),
    "ISLES": (
        "bids --sequence flair",
        {f"{ISLES}anat/sub-strokecase000{{n}}_ses-0001_FLAIR": "flair"}
        | {f"{ISLES}dwi/sub-strokecase000{{n}}_ses-0001_dwi": ""}
        | {f"derivatives/{ISLES}sub-strokecase000{{n}}_ses-0001_msk": "label"},
    ),
    "BraTS 2023": (
        "folder",
        {
            f"{BRATS}t1n": "t1",
            f"{BRATS}t1c": "t1ce",
            f"{BRATS}t2w": "t2",
            f"{BRATS}t2f": "flair",
            f"{BRATS}seg": "label",
        },
    ),
}  # paths without .nii.gz, with the key of each in its case; empty: passed over


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_public_sets_are_read_as_they_are_published(tmp_path, name):
    kind, files = PUBLIC_SETS[name]
    for n, stem in ((n, stem) for n in (1, 2) for stem in files):
        save(tmp_path / "in" / f"{stem.format(n=n)}.nii.gz")
    kind, *options = kind.split()
    command = [kind, str(tmp_path / "in"), str(tmp_path / "l.json"), *options, "--fractions", "0", "0", "1"]
    assert main(command) == 0
    cases = read(tmp_path / "l.json")["test"]
    assert len(cases) == len({case["case_id"] for case in cases}) == 2
    for n, case in enumerate(cases, 1):
        expected = {key: f"in/{stem.format(n=n)}.nii.gz" for stem, key in files.items() if key}
        assert {key: case[key] for key in case if key not in ("case_id", "patient_id")} == expected


def test_folds_deal_training_and_validation_anew(tmp_path, capsys):
    for patient in range(10):
        save(tmp_path / "in" / f"p{patient}_t1.nii.gz")
    output, validated = tmp_path / "l.json", []
    for fold in range(5):
        assert main(["folder", str(tmp_path / "in"), str(output), "--fold", str(fold)]) == 0
        sections = read(output)
        assert [len(sections[section]) for section in SECTIONS] == [7 if fold < 4 else 8, 2 if fold < 4 else 1, 1]
        assert json.loads(output.read_text())["about"]["fold"] == fold
        validated += [case["case_id"] for case in sections["validation"]]
    assert len(set(validated)) == len(validated) == 9
    assert main(["folder", str(tmp_path / "in"), str(output), "--fold", "5"]) == 1
    assert "no fold 5" in capsys.readouterr().err


@pytest.mark.real_data
@needs_data
def test_the_37_patients_for_choosing_make_five_folds(tmp_path):
    validated, tests = [], set()
    for fold in range(5):
        assert main(["lgg2d", str(DATA / "lgg2d"), str(tmp_path / "l.json"), "--fold", str(fold)]) == 0
        sections = read(tmp_path / "l.json")
        validated += [case["case_id"] for case in sections["validation"]]
        tests.add(tuple(case["case_id"] for case in sections["test"]))
    assert len(set(validated)) == len(validated) == 37 and len(tests) == 1 and len(tests.pop()) == 10


def test_merge_joins_lists_and_names_single_sequences_image(tmp_path):
    for name, sequence in (("a/one", "t1"), ("b/two", "flair")):
        save(tmp_path / f"{name}.nii.gz")
        stem = Path(name).name
        listed = {"training": [{"case_id": stem, sequence: f"{stem}.nii.gz"}], "validation": [], "test": []}
        (tmp_path / name).with_suffix(".json").write_text(json.dumps(listed))
    output = tmp_path / "all.json"
    assert main(["merge", str(tmp_path), str(output)]) == 0
    assert read(output)["training"] == [
        {"case_id": "one", "image": "a/one.nii.gz"},
        {"case_id": "two", "image": "b/two.nii.gz"},
    ]
    assert main(["merge", str(tmp_path), str(output)]) == 0, "its own output is not merged again"
    assert len(gather_cases(datalist=str(output), section="training")) == 2


def test_merge_refuses_leakage(tmp_path, capsys):
    save(tmp_path / "x.nii.gz")
    for name, section in (("a", "training"), ("b", "test")):
        (tmp_path / f"{name}.json").write_text(json.dumps({section: [{"case_id": "x", "t1": "x.nii.gz"}]}))
    assert main(["merge", str(tmp_path), str(tmp_path / "out" / "all.json")]) == 1
    assert "leakage" in capsys.readouterr().err


@pytest.mark.real_data
@needs_data
def test_real_glioma_slices_stand_upright_and_pass_the_door(tmp_path):
    output = tmp_path / "l.json"
    assert main(["lgg2d_slices", str(DATA / "lgg2d"), str(output)]) == 0
    sections = read(output)
    counts = [(labels(sections[section]).count(0), labels(sections[section]).count(1)) for section in SECTIONS]
    assert counts == [(223, 309), (46, 64), (71, 126)]
    needs = ("tibia_mask", "lesion_mask", "class_label")
    door = RadiographDoor(gather_radiographs(str(output), "validation"), needs, both_classes=True)
    assert len(door.cases) == 110 and not door.failures
    brains = [read_mask(case["tibia_mask"], "tibia_mask").data for case in door.cases]
    mirrored = [np.mean([(brain * np.flip(brain, axis)).sum() / brain.sum() for brain in brains]) for axis in (0, 1)]
    assert mirrored[1] > 0.9 > mirrored[0], "left and right lie along the columns"


def test_bids_keeps_the_sessions_of_a_subject_together(tmp_path):
    for n in range(6):
        for stem in (f"sub-{n:02}_ses-1", f"sub-{n:02}_ses-2"):
            save(tmp_path / "bids" / stem.replace("_", "/") / "anat" / f"{stem}_T1w.nii.gz")
    assert main(["bids", str(tmp_path / "bids"), str(tmp_path / "l.json"), "--fractions", ".5", "0", ".5"]) == 0
    listed = read(tmp_path / "l.json")
    subjects = [{case["patient_id"] for case in listed[section]} for section in ("training", "test")]
    assert len(listed["training"]) == len(listed["test"]) == 6 and not subjects[0] & subjects[1]


def test_a_copy_under_another_name_in_another_section_is_refused(tmp_path, capsys):
    for name in "abcd":
        save(tmp_path / "in" / f"{name}.nii")
    (tmp_path / "in" / "c.nii").write_bytes((tmp_path / "in" / "a.nii").read_bytes())
    fractions = ("--fractions", ".25", ".25", ".5")
    command = ["folder", str(tmp_path / "in"), str(tmp_path / "l.json"), *fractions, "--sequence", "t1"]
    said = [(main([*command, "--seed", seed]), capsys.readouterr().err) for seed in "0123"]
    refused = [error for code, error in said if code == 1]
    assert refused and all("are the same image, in '" in error and "leakage; remove one" in error for error in refused)
