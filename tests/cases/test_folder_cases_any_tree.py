"""Folders of any files: every scan is one case, nothing else is, and what cannot be told apart is refused by name."""

from __future__ import annotations

import itertools
import os
import shutil

import pytest

from shared.cases.datalists import gather_cases
from shared.cases.sequence_cases import gather_sequence_cases
from shared.runs.errors import DataListError
from tests.helpers.any_tree import Entry, any_tree, make
from tests.helpers.sweeps import EXAMPLES, for_all

GATHER = {
    "one sequence": lambda folder: gather_cases(dataset_dir=str(folder)),
    "several sequences": lambda folder: gather_sequence_cases(
        ["t1", "t1ce", "flair"], dataset_dir=str(folder), sequence="t1"
    ),
}


@pytest.mark.parametrize("gather", GATHER.values(), ids=GATHER)
@EXAMPLES
def test_every_scan_is_a_case_once_and_nothing_else_is(tmp_path, gather, examples):
    numbers = itertools.count()

    def holds(entries: list[Entry]) -> None:
        root = tmp_path / str(next(numbers))
        root.mkdir()
        made = make(entries, root, tmp_path / f"{root.name} outside")
        try:
            cases = gather(root)
        except DataListError as error:
            assert "\n" not in str(error) and str(root) in str(error)
            assert not made["scan"] or "both" in str(error), error
            return
        finally:
            shutil.rmtree(root)
        images = [case["image"] for case in cases]
        assert {*images} == {str(path) for path in made["scan"] | made["dangling"]}
        assert len({*images}) == len(images), "no file is in two cases"
        names = [os.path.normcase(case["case_id"]) for case in cases]
        assert len({*names}) == len(names) and all(names) and not any("/" in name for name in names)
        assert all(len(f".{name}_pseudo_healthy.nii.gz".encode()) <= 255 for name in names)

    for_all(examples, holds, entries=any_tree())
