"""extract_brain: a scan and a mask for each head, bad files named at the end, and what make_datalist reads of it."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.ellipsoid_brain import BRAIN, head, save
from tests.helpers.nifti_files import truncated
from tools import extract_brain, make_datalist


def test_heads_become_brains_and_masks_that_a_datalist_finds(tmp_path, capsys, caplog):
    heads, out = tmp_path / "heads", tmp_path / "out"
    (heads / "site").mkdir(parents=True)
    save(heads / "site" / "anna_t1.nii.gz", np.round(head()).astype(np.int16))
    save(heads / "bert_t1.nii.gz", BRAIN)
    truncated(heads / "carl_t1.nii.gz", 0.5)
    with pytest.raises(SystemExit) as stopped:
        extract_brain.main([str(heads), str(out)])
    assert stopped.value.code == 2 and "1 of 3 brains" in capsys.readouterr().out
    assert "bert_t1: is no whole head" in caplog.text and "carl_t1: is truncated or damaged" in caplog.text

    scan, mask = (nib.load(out / "site" / f"anna_t1{name}.nii.gz") for name in ("", "_brain_mask"))
    inside = np.asarray(mask.dataobj) > 0
    np.testing.assert_array_equal(scan.get_fdata(), np.where(inside, np.round(head()), 0))
    np.testing.assert_array_equal(scan.affine, nib.load(heads / "site" / "anna_t1.nii.gz").affine)
    assert {file.name for file in out.rglob("*") if file.is_file()} == {"anna_t1.nii.gz", "anna_t1_brain_mask.nii.gz"}

    assert make_datalist.main(["folder", str(out), str(tmp_path / "list.json")]) == 0
    (case,) = json.loads((tmp_path / "list.json").read_text())["training"]
    assert case == {
        "case_id": "site_anna",
        "patient_id": "site",
        "t1": "out/site/anna_t1.nii.gz",
        "brain_mask": "out/site/anna_t1_brain_mask.nii.gz",
    }

    made = (out / "site" / "anna_t1_brain_mask.nii.gz").stat().st_mtime_ns
    (heads / "bert_t1.nii.gz").unlink()
    (heads / "carl_t1.nii.gz").unlink()
    assert extract_brain.main([str(heads), str(out)]) == 0  # goes on: the mask is that of this head
    assert (out / "site" / "anna_t1_brain_mask.nii.gz").stat().st_mtime_ns == made

    save(heads / "site" / "anna_t1.nii.gz", BRAIN)  # another scan in its place, which cannot be used
    save(out / "own_t1.nii.gz", BRAIN)  # not written here
    assert extract_brain.main([str(heads), str(out)]) == 1 and "is no whole head. Leave it" in capsys.readouterr().err
    assert [file.name for file in out.rglob("*") if file.is_file()] == ["own_t1.nii.gz"]


@pytest.mark.parametrize(("out", "said"), [("heads/out", "choose a folder elsewhere"), ("out", "0 NIfTI files below")])
def test_what_cannot_be_done_is_said_in_a_line(tmp_path, capsys, out, said):
    (tmp_path / "heads").mkdir()
    assert extract_brain.main([str(tmp_path / "heads"), str(tmp_path / out)]) == 1
    assert said in capsys.readouterr().err
