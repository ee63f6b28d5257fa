"""What words in names mean: sequences, contrast, other images, masks and labels."""

from __future__ import annotations

import pytest

from shared.cases.name_words import COPIED, kind_of, sequence_of, words_of


@pytest.mark.parametrize(
    ("sequence", "stems"),
    [
        ("t1", "T1_mprage T1WI 3DT1 anna_SPGR T1-weighted anna_T1_post-op T1_pre mprage"),
        ("t1ce", "T1_mprage_post T1_ax_post ax_T1_POST T1w_brain_post post_T1 T1_Gad T1_KM t1_mpr_sag_km T1_C+ T1_+C "
         "T1_postGd T1WI_C 3DT1GADO mprage_gd T1_kontrast T1_contrast GADO_brain T1_SE_Gd"),
        ("flair", "t2_tirm_tra_dark-fluid t2_space_dark-fluid_sag 3DFLAIR flair3d FLAIRw FLAIR_T2 FLAIR_post"),
        ("pd", "PD DP"),
    ],
)  # fmt: skip
def test_one_of_five_sequences_is_named(sequence, stems):
    assert {stem: sequence_of(words_of(stem))[0] for stem in stems.split()} == dict.fromkeys(stems.split(), sequence)


@pytest.mark.parametrize(
    "stem",
    "T1_map T2star T2_star T2* T2_FFE T1_IR STIR localizer AAHead_Scout ep2d_diff DWI_b1000 b1000 T2_trace adc boldref "
    "T1_jacobian t1_1Warp T1_brain_mixeltype T1_t1map TB1map m0scan t1n-voided y_t1 T1_template swi".split(),
)
def test_any_other_image_is_none_of_them(stem):
    assert sequence_of(words_of(stem))[0] not in ("", "t1", "t1ce", "t2", "flair", "pd")


@pytest.mark.parametrize(
    ("kind", "stems"),
    [
        ("label", "FLAIR_wmh wmh anna_wmh_flair anna_gtv Consensus ManualSegmentation_1 x_ManuallyCorrected T1_stroke "
         "anna_infarct T1_hematoma T1_haematoma LabelsForTesting strokemask"),
        ("mask", "T1_synthseg T1_tissue defacemask x_msk ribbon gm_T1 c1t1 mwp1T1w"),
        ("image", "stroke_01_T1 T1_brain T1_preprocessed tumor_1_t1"),
    ],
)  # fmt: skip
def test_masks_and_labels_are_told_by_words_at_the_end(kind, stems):
    assert {stem: kind_of(words_of(stem)) for stem in stems.split()} == dict.fromkeys(stems.split(), kind)


def test_words_of_copies():
    assert COPIED.search("a_T1_defaced") and COPIED.search("a-T1-biascorrected_2") and not COPIED.search("normal_T1")
