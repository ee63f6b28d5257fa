"""Options with any text on the command line: they mean what was typed, or the run ends with a line that says why."""

from __future__ import annotations

import ast
import sys

import monai.bundle.__main__ as program
import pytest
from hypothesis import strategies as st

from shared.runs.command_line import check_options, given_options
from tests.helpers.paths import ROOT
from tests.helpers.sweeps import EXAMPLES, for_all

CONFIG = ROOT / "bundles" / "brain_mri_anomaly_tsgm" / "configs" / "inference.json"
ODD = (
    "20240115", "2024_01_15", "1e5", "1E5", "0x10", "0b1", "1_0", "007", "+5", "-5", "-.5", "inf", "nan", "1j", "None",
    "none", "True", "true", "FALSE", "no", "off", "my,out", "(a)", "[1]", "{}", "a=b", "a:b", "#1", "a#b", "'a'", '"a"',
    "a b", " a ", "", "\\a", "C:\\x", "~", "*", "a\nb", "é", "e\u0301", "患者", "🧠", "--", "-x", "...", "1.2.840.10",
    "lambda", "a if b else c", "b'x'", "f'{x}'", "r'x'", "1,", "()", "''", "'", "x" * 200,
)  # fmt: skip


@pytest.fixture
def read(monkeypatch):
    def of_command(*words: str) -> dict[str, object]:
        """What MONAI reads when all is as the check wants it."""
        monkeypatch.setattr(sys, "argv", [program.__file__, "run", "--config_file", str(CONFIG), *words])
        sys.argv += check_options()
        assert check_options() == [], "what was put right stays right"
        return given_options()

    return of_command


def words_of(name: str, text: str, joined: bool) -> tuple[str, ...]:
    return (f"--{name}={text}",) if joined else (f"--{name}", text)


def any_text() -> st.SearchStrategy[str]:
    characters = st.characters(codec="utf-8", exclude_characters="\0")
    return st.one_of(
        st.sampled_from(ODD), st.text(characters, max_size=12), st.text("0123456789_.,eEx-'\"[]() ", max_size=6)
    )


@EXAMPLES
def test_a_text_stays_as_it_was_typed(read, examples):
    def holds(name: str, text: str, joined: bool) -> None:
        try:
            found = read(*words_of(name, text, joined), "--steps", "5")
        except SystemExit as end:
            assert "\n" not in str(end.code) and f"--{name}" in str(end.code)
            assert not joined, "only another option can be meant"
            return
        assert found["steps"] == 5
        if text[:1] not in ("$", "@", "%"):  # of MONAI
            quoted = text[:1] in ("'", '"') and isinstance(found[name], str)
            assert found[name] == text or (quoted and found[name] == ast.literal_eval(text))

    names = st.sampled_from(("output_dir", "image", "dataset_dir", "sequence"))
    texts = any_text().filter(lambda text: text != "-")  # at which Fire stops, before any code of the bundles
    for_all(examples, holds, name=names, text=texts, joined=st.booleans())


@EXAMPLES
def test_a_number_and_a_bool_are_one_or_the_run_ends(read, examples):
    def holds(name: str, text: str) -> None:
        try:
            found = read(f"--{name}={text}")[name]
        except SystemExit as end:
            assert "\n" not in str(end.code) and f"--{name}" in str(end.code)
            return
        if text[:1] not in ("$", "@", "%"):
            assert type(found) in ((bool,) if name in ("resume", "posterior_mean") else (int, float, type(None)))

    for_all(examples, holds, name=st.sampled_from(("resume", "posterior_mean", "steps", "seed")), text=any_text())
