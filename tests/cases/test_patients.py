"""Patients from names of folders and files."""

from __future__ import annotations

import pytest

from shared.cases.patients import patients_of

TWO, FIVE = (1, 2), range(5)


@pytest.mark.parametrize(
    ("subjects", "patients"),
    [
        ([("", "anna"), ("", "bert_v2"), ("", "bert_visit1"), ("", "Bert")], ["anna", "bert", "bert", "bert"]),
        ([("", f"TCGA_DU_7_{date}") for date in ("19970322", "1998-01-02")], ["TCGA_DU_7"] * 2),
        ([("", f"BraTS-GLI-0000{n}-00{k}") for n in TWO for k in TWO],
         [f"BraTS-GLI-0000{n}" for n in (1, 1, 2, 2)]),
        ([(f"BraTS-MET-0000{n}-000",) * 2 for n in TWO], ["BraTS-MET-00001", "BraTS-MET-00002"]),
        ([("", "UPENN-GBM-00001_11"), ("", "UPENN-GBM-00001_21"), ("HGG", "Brats18_CBICA_AAB_1")],
         ["UPENN-GBM-00001"] * 2 + ["HGG"]),
        ([("", "BraTS19_2013_10_1"), ("", "BraTS20_Training_001")], ["BraTS19_2013_10", "BraTS20_Training_001"]),
        ([(f"p{n}", "") for n in TWO], ["p1", "p2"]),
        ([(f"p{n}/ses-{k}", "scan") for n in TWO for k in TWO], ["p1", "p1", "p2", "p2"]),
        ([(f"p{n}/exam{k}", "") for n in TWO for k in "ab"], ["p1", "p1", "p2", "p2"]),
        ([(f"p{n}/first", f"p{n}_t") for n in TWO], ["p1", "p2"]),
        ([(f"{wave}/p{n}", "") for wave in ("baseline", "followup") for n in TWO], ["p1", "p2"] * 2),
        ([(f"wave{w}/p{n}", "") for w in TWO for n in FIVE], [f"p{n}" for n in FIVE] * 2),
        ([(f"{g}/{g}{n}", f"{g}{n}") for g in ("HGG", "LGG") for n in FIVE],
         [f"{g}{n}" for g in ("HGG", "LGG") for n in FIVE]),
        ([(f"site{s}", f"{s}{n}") for s in "ab" for n in FIVE], [f"{s}{n}" for s in "ab" for n in FIVE]),
        ([("MICCAI/sub-01/ses-1", "sub-01_ses-1"), ("x", "sub-01_run-2")], ["sub-01"] * 2),
        ([("20200101", "")], ["20200101"]),
        ([("", f"p4_visit{v}") for v in "AB"], ["p4"] * 2),
        ([("", f"p4_scan{v}") for v in ("B", "2a")], ["p4"] * 2),
        ([("", f"patient_{name}") for name in ("d_1", "d_2", "e_1", "f")],
         ["patient_d", "patient_d", "patient_e", "patient_f"]),
        ([("", f"OAS1_000{n}_MR{v}") for n in TWO for v in TWO], ["OAS1_0001"] * 2 + ["OAS1_0002"] * 2),
        ([("", f"training0{n}_0{v}") for n in TWO for v in TWO], ["training01"] * 2 + ["training02"] * 2),
        ([("", f"{word}_{n}") for word in ("sub", "case", "HGG", "site", "s") for n in TWO],
         [f"{word}_{n}" for word in ("sub", "case", "HGG", "site", "s") for n in TWO]),
        ([("", f"site_{s}_{n}") for s in TWO for n in TWO], [f"site_{s}_{n}" for s in TWO for n in TWO]),
        ([("", f"case_00{n}{v}") for n in TWO for v in ("", "_A", "-2")], ["case_001"] * 3 + ["case_002"] * 3),
        ([("", "anna"), ("", "anna_bias"), ("", "Anna.x.y"), ("", "annabel")], ["anna"] * 3 + ["annabel"]),
        ([(s, f"{n}") for s in ("train", "test") for n in FIVE], [f"{n}" for n in FIVE] * 2),
        ([(f"data/{s}", f"p{n}") for s, n in (("train", 1), ("Validation", 2), ("test_set", 3))], ["p1", "p2", "p3"]),
        ([("data", f"{n}") for n in FIVE], [f"{n}" for n in FIVE]),
        ([(f"data/{n}", "") for n in FIVE], [f"{n}" for n in FIVE]),
        ([(g, f"{n}") for g in ("HGG", "LGG") for n in range(20)], [f"{n}" for n in range(20)] * 2),
        ([(f"site{s}", f"{n}") for s in TWO for n in range(20)], [f"{n}" for n in range(20)] * 2),
        ([("", f"study_1_{n}") for n in TWO], ["study_1_1", "study_1_2"]),
        ([(p, f"{n}") for p in ("anna", "bert") for n in FIVE], ["anna"] * 5 + ["bert"] * 5),
        ([("p1", f"{n}") for n in FIVE], ["p1"] * 5),
        ([("", f"anna_{v}") for v in ("2019", "2021", "pre-op", "postop", "1.5T", "3T", "12m", "20200101T120000")],
         ["anna"] * 8),
        ([(f"anna_{v}", "") for v in ("T0", "T1", "W00", "W48", "M00", "M12")], ["anna"] * 6),
        ([(f"{p}/{year}", "") for p in ("anna", "bert") for year in (2019, 2021)], ["anna"] * 2 + ["bert"] * 2),
        ([("", f"patient_{n}") for n in (2001, 2002)], ["patient_2001", "patient_2002"]),
        ([("", f"anna_v{v}_to_MNI") for v in TWO], ["anna"] * 2),
        ([(p, name) for p in ("anna", "bert", "carl") for name in "wxyz"], ["anna"] * 4 + ["bert"] * 4 + ["carl"] * 4),
        ([("P001", f"{n}01") for n in FIVE], ["P001"] * 5),
        ([(f"{way}/P{n}", "") for way in ("raw", "preprocessed", "mine") for n in TWO], ["P1", "P2"] * 3),
        ([(f"{order}/{p}", "") for order in ("first", "second") for p in ("anna", "bert", "carl")],
         ["anna", "bert", "carl"] * 2),
        ([("", f"BraTS-MEN-RT-0001-{n}") for n in TWO], ["BraTS-MEN-RT-0001"] * 2),
        ([("train", "")], ["train"]),
        ([("", "")], [""]),
    ],
)  # fmt: skip
def test_all_scans_of_a_patient_have_one_name(subjects, patients):
    assert patients_of(subjects) == patients
