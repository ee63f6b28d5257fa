"""Messages of the typed errors: what is wrong where, and what to do about it."""

from __future__ import annotations

import pickle

import pytest

from shared.runs.errors import InputError, NonFiniteOutputError, NoUsableCaseError


def test_an_input_error_names_file_key_problem_and_remedy():
    error = InputError("a.nii", "t1", "is empty (0 bytes)", "Copy it again")
    assert str(error) == "a.nii (key 't1'): is empty (0 bytes). Copy it again."


def test_no_usable_case_tells_the_first_failure_and_where_the_others_are():
    failures = [
        {"case_id": str(n), "file": f"{n}.nii", "key": "t1", "error": "is empty", "remedy": "Copy it"} for n in (1, 2)
    ]
    first = "1.nii (key 't1'): is empty. Copy it."
    assert str(NoUsableCaseError(failures[:1])) == first
    several = f"none of the 2 cases can be used; the log above names all, the first is {first}"
    assert str(NoUsableCaseError(failures)) == several


@pytest.mark.parametrize(
    ("level", "where"), [(None, "infinite. Compute"), (348.0, "infinite at noise level or timestep 348. Compute")]
)
def test_values_that_are_not_finite_are_counted_with_their_noise_level(level, where):
    said = str(NonFiniteOutputError(3, 100, level))
    assert said.startswith("the network returned 3 values of 100 that are NaN or ") and where in said
    assert "--amp False" in said


@pytest.mark.parametrize(
    "error",
    [InputError("a", "b", "c", "d"), NoUsableCaseError([{"file": "a", "key": "b", "error": "c", "remedy": "d"}])]
    + [NonFiniteOutputError(1, 2, 0.5)],
)
def test_errors_come_whole_out_of_a_worker(error):
    """A process hands its error to another as a pickle."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and vars(again) == vars(error)
