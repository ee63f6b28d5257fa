"""What MONAI Label answers to a request that cannot be done: the text of the command line, in place of a bare error.

MONAI Label gives an image to the preprocessing of a bundle as it is, and answers every error with the status 500 and no
word on it. The app that `tools.monai_label_app` lays out shows the image to the door of the bundle first.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from monai.bundle import ConfigParser

from shared.brains.whole_head import WHOLE_HEAD
from shared.cases.file_names import NIFTI
from shared.runs.command_line import as_meant
from shared.runs.devices import check_device
from shared.runs.errors import DataListError, WeightsError
from shared.runs.last_line import last_line
from shared.runs.weights import NO_WEIGHTS

NOT_FOUND, UNUSABLE, FAULT = 404, 422, 500
_OF_THE_DOOR = ("brain_mask", WHOLE_HEAD)  # what it adds to a case
_VOLUMES = (".nii.gz", ".nii", ".nrrd", ".seg.nrrd", ".mha")  # one file each, with the place of the label
_PICTURES = (".png", ".dcm")  # of whole numbers
_WHOLE, _OTHERS = ("uint8", "uint16"), ("int16", "uint32", "int32", "float32", "float64")  # that ITK writes
_ALIKE = 0.8  # of difflib: 'step' and 'steps' have 0.89, 'num_samples', which MONAI Label knows, and 'samples' 0.78
_OF_OPTIONS = ("inferer", "find")  # in this order: entries of a config that refuse wrong options when they are made

logger = logging.getLogger(__name__)


@contextmanager
def prepared(request: Mapping[str, Any], image: str, bundle: Path) -> Iterator[dict[str, Any]]:
    """A request as a model can take it: the image has passed the door, and options have the type that is wanted.

    Args:
        request: to an inference; ``device`` and the ``displayable_configs`` of the bundle are read.
        image: the file.
        bundle: folder of the model.

    Yields:
        the request, with the ending of the answer to a PNG or DICOM, ``.png`` where it asks for none, and the brain
        mask that was extracted from a whole head, a file that is there within the block.

    Raises:
        WeightsError: the bundle has no weights.
        DataListError: there is no such image.
        NoUsableCaseError: the door refuses it.
        ValueError: an option has another type or a value that the bundle refuses, or a name that is nearly one of the
            bundle's; there is no such device, or no label can be written in the format that is asked for.
    """
    weights = bundle / "models" / "model.pt"
    if not weights.is_file():
        raise WeightsError(f"{weights}: weights missing. {NO_WEIGHTS}")
    if not Path(image).exists():
        raise DataListError(f"{image}: not among the studies. Name one of them, without its ending, or send a file")
    config = json.loads(
        (bundle / "configs" / "inference.json").read_text("utf-8").replace("scripts.shared.", "shared.")
    )
    shown = config.get("displayable_configs", {})
    for name in request.keys() - shown.keys():  # MONAI Label and its clients have more, none of them alike
        if alike := get_close_matches(name.lower(), shown, 1, _ALIKE):
            raise ValueError(f"option {name} is unknown: did you mean {alike[0]}?")
    request = {**request, **_format(request, image)}
    options = {name: _meant(name, request[name], shown[name]) for name in shown if name in request}
    with TemporaryDirectory() as folder:
        parser = ConfigParser({**config, "bundle_root": str(bundle), "image": image, "output_dir": folder})
        parser["displayable_configs"] = {**shown, **options}
        if "device" in request:
            check_device(request["device"])
            parser["device"] = request["device"]
        door = parser.get_parsed_content("door")
        door.require_some()
        (case,) = door.cases
        for part in (part for part in _OF_OPTIONS if part in config):
            parser.get_parsed_content(part)
        for note in case["warnings"]:
            logger.warning("%s: %s", image, note)
        yield {**request, **options, **{key: case[key] for key in _OF_THE_DOOR if key in case}}


def told(error: Exception, request: Mapping[str, Any], *folders: str) -> tuple[int, str]:
    """Status and text of the answer to a request that an error has ended; a fault of the program is logged whole.

    Args:
        error: of ours, of MONAI Label, or any other.
        request: to an inference.
        folders: of the image and of the bundle, which are not told.
    """
    if any(kind.__name__ == "MONAILabelException" for kind in type(error).__mro__):  # which this module cannot import
        return NOT_FOUND, str(getattr(error, "msg", error))
    if line := last_line(error):
        logger.error("no answer to %s: %s", request, line)
        for folder in folders:
            line = line.replace(os.path.join(folder, ""), "")
        return UNUSABLE, line.removeprefix("error: ")
    logger.error("no answer to %s", request, exc_info=error)
    return FAULT, f"{type(error).__name__}: {error}. This is a fault of the program; the log of the server has more."


def _format(request: Mapping[str, Any], image: str) -> dict[str, Any]:
    """The ending of the answer where it is not that of the image; ValueError where no label can be written so."""
    volume = NIFTI.search(image)
    ending, kind = request.get("result_extension"), request.get("result_dtype")
    if ending and ending not in (endings := _VOLUMES if volume else _PICTURES + _VOLUMES):
        raise ValueError(f"result_extension is {ending!r}. Write one of {', '.join(endings)}, or leave it out")
    whole = ending in _PICTURES or not (ending or volume)
    if kind and kind not in (kinds := _WHOLE if whole else _WHOLE + _OTHERS):
        raise ValueError(f"result_dtype is {kind!r}. Write one of {', '.join(kinds)}, or leave it out")
    return {} if ending or volume else {"result_extension": ".png"}


def _meant(name: str, value: Any, wanted: Any) -> Any:
    if value is None:
        raise ValueError(f"option {name}: null is no value. Leave it out, or write one, such as {wanted}")
    try:
        return as_meant(value, value, wanted)
    except ValueError as problem:
        raise ValueError(f"option {name}: {problem}") from None
