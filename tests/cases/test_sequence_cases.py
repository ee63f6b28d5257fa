"""Cases of any of several sequences: from files, one file, a folder and a datalist; which is primary; wrong options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.cases.sequence_cases import check_channels, gather_sequence_cases, primary_of
from shared.runs.errors import DataListError

SEQUENCES = ["t1", "t1ce", "flair"]
DECATHLON = ["flair", "t1", "t1ce", "t2"]


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def write_list(file: Path, *cases: dict[str, Any]) -> str:
    file.write_text(json.dumps({"test": cases}), encoding="utf-8")
    return str(file)


def gather(**options: Any) -> list[dict[str, str]]:
    return gather_sequence_cases(SEQUENCES, **options)


@pytest.mark.parametrize(
    ("given", "primary"),
    [(["t1"], "t1"), (["t1ce", "t1"], "t1ce"), (["flair", "t1"], "flair"), (["t1", "t1ce", "flair"], "flair")],
)
def test_files_of_one_brain_are_one_case_whose_image_is_the_last_in_the_fixed_order(tmp_path, given, primary):
    files = {name: str(tmp_path / f"sub 1_{name}.nii.gz") for name in given}
    (case,) = gather(files={**dict.fromkeys(SEQUENCES, ""), "t1": None, **files}, image="", dataset_dir="", datalist="")
    others = {name: path for name, path in files.items() if name != primary}
    assert case == {"case_id": "sub 1", "image": files[primary], "sequence": primary, **others}


@pytest.mark.parametrize(
    ("file", "case_id"), [("p7/flair.nii.gz", "p7"), ("p7/x.NII", "x"), ("p7/sub1_FLAIR.nii", "sub1")]
)
def test_case_of_files_is_named_after_the_subject_else_the_folder(tmp_path, monkeypatch, file, case_id):
    monkeypatch.chdir(tmp_path)
    (case,) = gather(files={"flair": file.replace("/", "\\")})
    assert case == {"case_id": case_id, "image": str(tmp_path / file), "sequence": "flair"}


@pytest.mark.parametrize(
    ("options", "sequence"),
    [({}, "flair"), ({"sequence": "t1"}, "t1"), ({"channels": DECATHLON}, "image")],
)
def test_an_image_is_of_the_given_sequence_or_4d(tmp_path, options, sequence):
    file = str(tmp_path / "BRATS_001.nii.gz")
    assert gather(image=file, **options) == [{"case_id": "BRATS_001", "image": file, "sequence": sequence}]


def test_files_of_a_subject_in_a_folder_are_one_case(tmp_path):
    names = ["a_t1.nii", "a_flair.nii", "a_t2.nii", "a_seg.nii", "a_t1_brain_mask.nii", "a_anomaly_map.nii"]
    touch(*(tmp_path / "site" / name for name in names), tmp_path / "b_T1Gd.nii", tmp_path / "c_t2.nii.gz")
    a, b, c = sorted(gather(dataset_dir=str(tmp_path)), key=lambda case: case["case_id"][-1])
    path = {name: str(tmp_path / "site" / name) for name in names}
    assert a == {
        "case_id": "site_a",
        "image": path["a_flair.nii"],
        "sequence": "flair",
        "t1": path["a_t1.nii"],
        "label": path["a_seg.nii"],
        "brain_mask": path["a_t1_brain_mask.nii"],
    }
    assert b == {"case_id": "b", "image": str(tmp_path / "b_T1Gd.nii"), "sequence": "t1ce"}
    assert c["case_id"] == "c" and c["reason"] == "has none of t1, t1ce, flair (it has t2)" and "image" not in c


@pytest.mark.parametrize(
    ("options", "sequence"), [({}, "flair"), ({"sequence": "t1ce"}, "t1ce"), ({"channels": DECATHLON}, "image")]
)
def test_a_file_of_a_folder_that_names_no_sequence(tmp_path, options, sequence):
    touch(tmp_path / "a.nii.gz", tmp_path / "b_t1.nii.gz")
    a, b = gather(dataset_dir=str(tmp_path), **options)
    assert a == {"case_id": "a", "image": str(tmp_path / "a.nii.gz"), "sequence": sequence}
    assert (b["case_id"], b["sequence"]) == ("b", "t1")


def test_named_sequences_go_before_a_4d_file_of_the_same_subject(tmp_path):
    touch(tmp_path / "a.nii.gz", tmp_path / "a_t1.nii.gz")
    (case,) = gather(dataset_dir=str(tmp_path), channels=DECATHLON)
    assert case == {"case_id": "a", "image": str(tmp_path / "a_t1.nii.gz"), "sequence": "t1"}


def test_files_named_by_their_sequence_alone_belong_to_the_folder(tmp_path):
    touch(*(tmp_path / "p7" / f"{name}.nii.gz" for name in ("t1", "flair", "label")), tmp_path / "p8" / "t1.nii.gz")
    (case,) = gather(dataset_dir=str(tmp_path / "p7"))
    assert (case["case_id"], case["sequence"]) == ("p7", "flair") and {"t1", "label"} <= set(case)
    assert [case["case_id"] for case in gather(dataset_dir=str(tmp_path))] == ["p7", "p8"]


def test_two_files_of_one_sequence_of_a_subject(tmp_path):
    touch(tmp_path / "a_t1.nii.gz", tmp_path / "a_T1w.nii.gz")
    with pytest.raises(DataListError, match="a_T1w.nii.gz and .*a_t1.nii.gz are both the t1 of 'a'"):
        gather(dataset_dir=str(tmp_path))


def test_a_datalist_gives_what_each_case_has(tmp_path):
    listed = write_list(
        tmp_path / "list.json",
        {"case_id": "a", "t1": "t1.nii", "t2": "t2.nii", "flair": "f.nii", "label": "l.nii", "group": 3},
        {"case_id": "b", "t1ce": "ce.nii", "t1": "t1.nii", "brain_mask": "m.nii", "flair": ""},
        {"case_id": "c", "image": "i.nii"},
        {"case_id": "d", "image": "i.nii", "t1": "t1.nii"},
        {"case_id": "e", "t2": "t2.nii", "pd": "pd.nii"},
    )
    a, b, c, d, e = gather(datalist=listed)
    path = {name: str(tmp_path / f"{name}.nii") for name in ("t1", "ce", "f", "i", "l", "m")}
    assert a == {
        "case_id": "a", "image": path["f"], "sequence": "flair", "t1": path["t1"], "label": path["l"], "group": "3"
    }  # fmt: skip
    assert b == {
        "case_id": "b", "image": path["ce"], "sequence": "t1ce", "t1": path["t1"], "brain_mask": path["m"]
    }  # fmt: skip
    assert c == {"case_id": "c", "image": path["i"], "sequence": "flair"}
    assert d == {"case_id": "d", "image": path["t1"], "sequence": "t1"}
    assert e["reason"] == "has none of t1, t1ce, flair (it has t2, pd)" and e["missing"] == "t1 or t1ce or flair"
    assert not {"image", "t2"} & set(e)
    assert [case["sequence"] for case in gather(datalist=listed, channels=DECATHLON)[:4]] == [
        "flair", "t1ce", "image", "t1"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({"case_id": "a", "t1": ["a.nii"]}, "list.json: key 't1' of case 'a' is not a path"),
        ({"case_id": "a", "label": "l.nii"}, "case 'a' has none of the keys"),
        ({"case_id": "", "t1": "a.nii"}, "'case_id' is '', not a string"),
    ],
)
def test_wrong_datalists_are_named(tmp_path, case, message):
    with pytest.raises(DataListError, match=message):
        gather(datalist=write_list(tmp_path / "list.json", case))
    with pytest.raises(DataListError, match="no section 'validation'"):
        gather(datalist=str(tmp_path / "list.json"), section="validation")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "none given"),
        ({"files": {"t1": "", "flair": None}}, "none given"),
        ({"files": {"t1": "a.nii"}, "image": "b.nii"}, "--t1 and --image given"),
        ({"dataset_dir": "a", "datalist": "b.json"}, "--dataset_dir and --datalist given"),
    ],
)
def test_not_exactly_one_source_says_which_options_there_are(given, found):
    with pytest.raises(DataListError, match=f"--t1 FILE, --t1ce FILE, --flair FILE.*--image FILE.*--datalist.*{found}"):
        gather(**given)


@pytest.mark.parametrize("given", [{"files": {"t1": "a.nii", "t2": "b.nii"}}, {"image": "a.nii", "sequence": "t2"}])
def test_a_file_of_a_sequence_that_is_not_used(given):
    with pytest.raises(DataListError, match=r"--(t2 FILE|image .* t2): not one of .* in use \(t1, t1ce, flair\)"):
        gather(**given)


def test_the_sequence_of_files_without_a_name_matters_only_to_them(tmp_path):
    """Some of the sequences of a method may be used alone, while ``sequence`` keeps its default."""
    (case,) = gather_sequence_cases(["t1"], files={"t1": str(tmp_path / "a_t1.nii"), "flair": ""})
    assert (case["case_id"], case["sequence"]) == ("a", "t1")
    listed = write_list(tmp_path / "list.json", {"case_id": "b", "image": "b.nii"}, {"case_id": "c", "t1": "c.nii"})
    b, c = gather_sequence_cases(["t1"], datalist=listed)
    assert b["reason"] == "has none of t1 (it has image)" and "image" not in b
    assert c["sequence"] == "t1"
    touch(tmp_path / "folder" / "d.nii", tmp_path / "folder" / "e_t1.nii")
    d, e = gather_sequence_cases(["t1"], dataset_dir=str(tmp_path / "folder"))
    assert d["reason"] == "has none of t1 (it has flair)" and e["sequence"] == "t1"
    assert gather_sequence_cases(["t1"], image="a.nii", channels=DECATHLON)[0]["sequence"] == "image"


def test_the_primary_sequence_is_the_last_that_is_present():
    assert primary_of({"flair", "t1"}, SEQUENCES) == "flair" and primary_of(DECATHLON, ["flair", "t1"]) == "t1"
    with pytest.raises(ValueError, match="none of the sequences t1, t1ce, flair is there, only t2"):
        primary_of(["t2"], SEQUENCES)


def test_channels_have_a_primary_sequence():
    assert check_channels(DECATHLON, SEQUENCES) == "flair"
    assert check_channels(("t2", "t1"), SEQUENCES) == "t1"


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ("flair", "--channels flair: a list with a name for each volume"),
        (["flair", "T1"], "of t1, t1ce, t2, flair, pd"),
        (["t1", "t1"], "none twice"),
        (["t2", "pd"], "know only t1, t1ce, flair"),
    ],
)
def test_channels_that_cannot_be_used_show_how_to_name_them(channels, message):
    with pytest.raises(DataListError, match=message) as caught:
        check_channels(channels, SEQUENCES)
    assert """--channels "['flair','t1','t1ce','t2']\"""" in str(caught.value)
