"""A block as large as a feature map is taken from the kernel once, not each time."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT

PROGRAM = """
import resource, torch
from shared.runs.freed_memory import keep_freed_memory

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(25_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{call}
print(min(page_faults() for _ in range(10)))
"""


def fewest_page_faults(call: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(call=call)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_block_of_100_mb_needs_no_new_pages_of_the_kernel():
    assert fewest_page_faults("keep_freed_memory()") < fewest_page_faults("") / 5
