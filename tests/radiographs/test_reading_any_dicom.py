"""DICOM files with any pixel format: the picture is the one that was stored, air dark, or the file is refused."""

from __future__ import annotations

import numpy as np

from shared.radiographs.reading import read_radiograph
from shared.runs.errors import InputError
from tests.helpers.any_dicom import PADDED, SHADE, AnyDicom, any_dicom, write
from tests.helpers.sweeps import EXAMPLES, for_all


def is_plain(recipe: AnyDicom) -> bool:
    """Whether a file must be taken: unsigned numbers, and nothing that could be meant in two ways."""
    return not (recipe.signed or recipe.shape or recipe.padding or recipe.overlay or recipe.fault)


@EXAMPLES
def test_any_pixels_show_what_was_stored_or_are_refused(tmp_path, examples):
    def holds(recipe: AnyDicom) -> None:
        file = write(recipe, tmp_path / "image.dcm")
        try:
            data = read_radiograph(str(file), "image").data
        except InputError as error:
            assert (error.file, error.key) == (str(file), "image") and error.problem and error.remedy
            assert "itk" not in error.problem.lower() and "gdcm" not in error.problem.lower(), "the true reason"
            assert not is_plain(recipe), error
            return
        field = ~PADDED if recipe.padding else np.ones_like(PADDED)
        shade = 1 - SHADE if recipe.fault == "slope below 0" else SHADE
        slope, intercept = np.polyfit(shade[field], data[field], 1)
        range_of = np.ptp(data[field])
        assert slope > 0, "bright is bright"
        assert np.abs(slope * shade + intercept - data)[field].max() < 0.02 * range_of, "and the steps are even"
        if recipe.padding and recipe.states_padding:
            assert data[~field].max() <= data[field].min() + 0.02 * range_of, "padding is dark"

    for_all(examples, holds, recipe=any_dicom())
