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
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from monai.bundle import ConfigParser

from shared.brains.whole_head import WHOLE_HEAD
from shared.runs.command_line import as_meant
from shared.runs.devices import check_device
from shared.runs.errors import DataListError, WeightsError
from shared.runs.last_line import last_line
from shared.runs.weights import NO_WEIGHTS

NOT_FOUND, UNUSABLE, FAULT = 404, 422, 500
_OF_THE_DOOR = ("brain_mask", WHOLE_HEAD)  # what it adds to a case

_OF_OPTIONS = {"inferer", "find"}  # entries of a config that refuse wrong options when they are made

logger = logging.getLogger(__name__)


@contextmanager
def prepared(request: Mapping[str, Any], image: str, bundle: Path) -> Iterator[dict[str, Any]]:
    """A request as a model can take it: the image has passed the door, and options have the type that is wanted.

    Args:
        request: to an inference; ``device`` and the ``displayable_configs`` of the bundle are read.
        image: the file.
        bundle: folder of the model.

    Yields:
        the request, with the brain mask that was extracted from a whole head, a file that is there within the block.

    Raises:
        WeightsError: the bundle has no weights.
        DataListError: there is no such image.
        NoUsableCaseError: the door refuses it.
        ValueError: an option has another type or a value that the bundle refuses, or there is no such device.
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
        for part in _OF_OPTIONS & config.keys():
            parser.get_parsed_content(part)
        for note in case["warnings"]:
            logger.warning("%s: %s", image, note)
        yield {**request, **options, **{key: case[key] for key in _OF_THE_DOOR if key in case}}


def told(error: Exception, request: Mapping[str, Any], folder: str) -> tuple[int, str]:
    """Status and text of the answer to a request that an error has ended; a fault of the program is logged whole.

    Args:
        error: of ours, of MONAI Label, or any other.
        request: to an inference.
        folder: of the image, which is not told.
    """
    if any(kind.__name__ == "MONAILabelException" for kind in type(error).__mro__):  # which this module cannot import
        return NOT_FOUND, str(getattr(error, "msg", error))
    if line := last_line(error):
        logger.error("no answer to %s: %s", request, line)
        return UNUSABLE, line.removeprefix("error: ").replace(os.path.join(folder, ""), "")
    logger.error("no answer to %s", request, exc_info=error)
    return FAULT, f"{type(error).__name__}: {error}. This is a fault of the program; the log of the server has more."


def _meant(name: str, value: Any, wanted: Any) -> Any:
    if value is None:
        raise ValueError(f"option {name}: null is no value. Leave it out, or write one, such as {wanted}")
    try:
        return as_meant(value, value, wanted)
    except ValueError as problem:
        raise ValueError(f"option {name}: {problem}") from None
