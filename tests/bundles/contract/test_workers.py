"""Every training through the real command: what it learns does not depend on how many workers read its data."""

from __future__ import annotations

import pytest

from tests.helpers.run_outputs import assert_same_end
from tests.helpers.tiny_trainings import TRAININGS
from tests.helpers.whole_trainings import WholeTrainings


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_number_of_workers_does_not_matter(whole: WholeTrainings, name, tmp_path):
    """Two against none; without the bad cases, which were left out."""
    done = TRAININGS[name].run(whole(name).options(tmp_path, num_workers=2))
    assert done.returncode == 0, done.stderr
    assert_same_end(whole(name).out, tmp_path)
