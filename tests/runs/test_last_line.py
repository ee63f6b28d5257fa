"""The one line that ends a command: of errors of ours and of a full disk; faults of the program are shown whole."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from monai.bundle import ConfigParser

from shared.diffusion.noise_levels import even_timesteps
from shared.runs.errors import DataListError
from shared.runs.facts import facts_of
from shared.runs.last_line import last_line
from shared.runs.tables import write_text
from shared.runs.weights import load_weights, sha256
from tests.helpers.paths import ROOT

NETWORK = torch.nn.Linear(1, 1)


def raised(call, *arguments) -> BaseException:
    """What a call raises, as MONAI hands it on: wrapped twice."""
    try:
        try:
            try:
                call(*arguments)
            except Exception as error:
                raise RuntimeError("Failed to instantiate component 'scripts.shared.x'\n set '_mode_=debug'") from error
        except Exception as error:
            raise RuntimeError("Failed to evaluate ConfigExpression") from error
    except RuntimeError as error:
        return error
    raise AssertionError("nothing was raised")


def test_errors_of_ours_are_one_line_without_what_wraps_them(tmp_path: Path):
    missing = tmp_path / "model.pt"
    said = f"error: {missing}: weights missing. Train with configs/train.json, or copy a released model.pt there."
    assert last_line(raised(load_weights, NETWORK, missing)) == said
    missing.write_text("<html>")  # an error that was raised from another one
    assert last_line(raised(load_weights, NETWORK, missing)).endswith("Download it again.")
    assert last_line(raised(even_timesteps, 0, 1000)).startswith("error: steps is 0; choose 1 to 1000")


def test_several_lines_become_one():
    error = DataListError("first\n  second")
    error.__traceback__ = raised(load_weights, NETWORK, "none").__cause__.__cause__.__traceback__
    assert last_line(error) == "error: first; second"


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOENT, "Check the path"),
        (errno.ENOSPC, "Free some space"),
        (errno.EFBIG, "Free some space"),
        (errno.EROFS, "may be written to"),
    ],
)
def test_a_disk_that_takes_nothing_is_named_with_a_remedy(code: int, remedy: str):
    said = last_line(OSError(code, "told by the machine", "map.nii.gz"))
    assert said.startswith("error: map.nii.gz: told by the machine. ") and remedy in said


def test_a_folder_in_the_place_of_a_file_is_named_with_a_remedy(tmp_path: Path):
    (tmp_path / "report.html").mkdir()
    said = f"error: {tmp_path / 'report.html'}: Is a directory. Rename or remove it, or choose another --output_dir."
    assert last_line(raised(write_text, tmp_path / "report.html", "page")) == said


@pytest.mark.parametrize(
    ("call", "arguments"),
    [(sha256, (None,)), (int, ("x",)), (facts_of, (SimpleNamespace(meta={"facts": ["1", "2"]}),))],
)
def test_slips_of_the_program_have_no_line(call, arguments: tuple):
    """The last is a ValueError of Python's in a function of ours: too many values to unpack."""
    assert last_line(raised(call, *arguments)) == ""


LONG = "$[float(weight) for weight in @state_weights if weight is not None and not isinstance(weight, str)] + [0.0]"


@pytest.mark.parametrize(
    ("expression", "options", "said"),
    [
        (
            "$tuple(@state_weights)",
            {"state_weights": 1},
            "cannot be computed ('int' object is not iterable). Check --s",
        ),
        ("$@sigma_range[0]", {"sigma_range": 5}, "('int' object is not subscriptable). Check --sigma_range."),
        (
            "$@a#b[2] + @c",
            {"a": {"b": [1]}, "c": 1},
            "cannot be computed (list index out of range). Check --a::b, --c.",
        ),
        ("$@a::b + @c", {"a": {"b": 1}, "c": "x"}, "Check --a::b, --c."),
        (LONG, {"state_weights": 1}, "Check --state_weights."),
        ("$1 / 0", {}, "(division by zero). Check the configs."),
    ],
)
def test_an_expression_that_does_not_go_with_its_options_is_told_with_them(expression, options, said):
    configs = ConfigParser({**options, "part": {"_target_": "torch.nn.Identity", "value": expression}})
    line = last_line(raised(configs.get_parsed_content, "part"))
    assert line.startswith(f"error: the configs' '{expression.replace('#', '::')}' cannot") and said in line
    assert "\n" not in line


def test_what_an_expression_calls_keeps_its_traceback():
    configs = ConfigParser({"part": "$sha256(None)"}, globals={"sha256": sha256})
    assert last_line(raised(configs.get_parsed_content, "part")) == ""


def command(*lines: str) -> subprocess.CompletedProcess[str]:
    code = "\n".join(["from shared.runs.last_line import end_in_one_line", *lines])
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


FAIL = "from shared.runs.tables import write_csv", "from shared.cases.datalists import gather_cases", "gather_cases()"


def test_the_command_ends_with_the_line_and_with_debug_shows_all_before():
    done = command("end_in_one_line()", *FAIL)
    assert (
        done.returncode == 1 and done.stderr.count("\n") == 1 and done.stderr.startswith("error: pass exactly one of")
    )
    whole = command("end_in_one_line(debug=True)", *FAIL)
    assert whole.returncode == 1 and whole.stderr.splitlines()[-1] == done.stderr.strip()
    assert whole.stderr.startswith("Traceback") and "gather_cases" in whole.stderr


@pytest.mark.parametrize(
    "words",
    [["compare_runs", "a=no", "b=no"], ["make_datalist", "folder", "no", "x"], ["plot_training", "no", "x"]]
    + [["package_bundle", "brain_mri_anomaly_tsgm", "--output_dir", "README.md/no"]],
)
def test_commands_of_the_collection_end_so_too(words: list[str]):
    done = subprocess.run(
        [sys.executable, "-m", f"tools.{words[0]}", *words[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr and "no" in done.stderr.splitlines()[-1]


def test_a_slip_keeps_its_traceback_and_ctrl_c_has_none():
    done = command("end_in_one_line()", "{}['key']")
    assert done.returncode == 1 and done.stderr.startswith("Traceback") and done.stderr.endswith("KeyError: 'key'\n")
    assert command("end_in_one_line()", "raise KeyboardInterrupt").stderr == "stopped by Ctrl-C\n"
