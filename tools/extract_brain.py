"""Extract the brains of whole heads, for training and calibration: ``python -m tools.extract_brain FOLDER OUT``.

Each NIfTI file of a head below FOLDER becomes two in OUT, where ``python -m tools.make_datalist folder`` finds both:
the scan, 0 outside the brain, under the name that it has, and ``<name>_brain_mask.nii.gz``. deepbet finds the brains;
T1 is best. Run again, the command goes on where it stopped. What is no whole head, or cannot be read, is named at the
end, with exit code 2; the others are done.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def extract(folder: Path, out: Path, device: str = "cpu") -> None:
    """Extract the brain of each head below a folder.

    Args:
        folder: of NIfTI files, at any depth.
        out: where scans and masks go, at the same depth.
        device: where deepbet computes.

    Raises:
        DataListError: no head in the folder, ``out`` lies in it, or deepbet is not installed.
        NoUsableCaseError: no file could be used.
        SystemExit: with code 2, when any file could not be used; each is named in the log.
    """
    from shared.brains.head_masks import HeadMasks  # late: --help answers at once
    from shared.cases.checked_cases import CheckedCases
    from shared.cases.folder_cases import FoundCases
    from shared.cases.folder_files import read_folder
    from shared.runs.errors import DataListError

    if out.resolve().is_relative_to(folder.resolve()):
        raise DataListError(f"{out} lies in {folder}, whose scans are all read; choose a folder elsewhere")
    masks = HeadMasks(str(out), device=device)
    if masks.offer:
        raise DataListError(f"deepbet is not installed: {masks.offer}")
    files, passed_over = read_folder(folder)
    heads = FoundCases(
        (
            {"case_id": file.stem, "image": str(file.path), "sequence": file.name.sequence or "image"}
            for file in files
            if file.name.kind == "image"
        ),
        passed_over,
    )
    if not heads:
        raise DataListError(f"0 images below {folder}: its NIfTI files are named as masks or outputs")

    def check(case: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
        masks.write_brain(case)
        return case, []

    done = CheckedCases(heads, check, "extracting brains", 1)
    print(f"{out}: {len(done.cases)} of {len(heads)} brains")
    done.conclude()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit code 1 with one line on stderr when nothing can be done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--device", default="cpu", help="such as cuda")
    given = parser.parse_args(arguments)
    from shared.runs.errors import DataListError, NoUsableCaseError

    try:
        extract(given.folder, given.out, given.device)
    except (DataListError, NoUsableCaseError) as error:
        print(f"extract_brain: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
