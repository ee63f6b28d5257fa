"""Options of ``python -m monai.bundle run``: MONAI takes any name, so that a mistyped one would change nothing."""

from __future__ import annotations

import functools
import inspect
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from monai.bundle import ConfigParser, ReferenceResolver, run, update_kwargs
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS
from monai.utils import optional_import

fire, _ = optional_import("fire")  # there wherever the command runs; MONAI itself does without

DEBUG = "debug"  # the one option that no config has

_OWN = [name for name, p in inspect.signature(run).parameters.items() if p.kind is not p.VAR_KEYWORD]
_OPTIONAL = ("initialize", "finalize")  # entries that MONAI reads where a config has them
_ALIKE = 0.7  # of difflib: 'stpes' and 'steps' have 0.8, 'epochs' and 'max_epochs' 0.75


def check_options() -> None:
    """First step of a run: refuse options that the configs do not have, and text where they have a number or a bool.

    Known are the entries of the config files, arguments of their components (these refuse what they do not take), names
    that another option refers to (``@name``), and what MONAI itself reads. Called by anything but that command, such as
    ``ConfigWorkflow``, it does nothing.

    Raises:
        SystemExit: with code 1 and a message.
    """
    options = given_options()
    if not options:
        return
    options = update_kwargs(options.pop("args_file", None), **options)
    configs = ConfigParser(ConfigParser.load_config_files(options["config_file"]))
    known = {
        *_OWN,
        *_OPTIONAL,
        DEBUG,
        *(cast(dict, DEFAULT_MLFLOW_SETTINGS["configs"]) if options.get("tracking") else ()),
    }
    for name, value in options.items():
        if name in known or any(f"@{name}" in str(other) for other in options.values()):
            continue
        if not _has(configs, name):
            raise SystemExit(_unknown(name, configs, known))
        if problem := _wrong_type(configs.get(name), value):
            raise SystemExit(f"option --{name}: {problem}")
        configs[name] = value


def given_options() -> dict[str, Any]:
    """What the command line of ``python -m monai.bundle run`` says, read as MONAI reads it; {} in other programs."""
    given: dict[str, Any] = {}
    if Path(sys.argv[0]).parts[-3:] == ("monai", "bundle", "__main__.py") and sys.argv[1:2] == ["run"]:

        @functools.wraps(run)  # Fire asks for the signature
        def keep(*values: Any, **named: Any) -> None:
            given.update({name: value for name, value in zip(_OWN, values) if value is not None}, **named)

        fire.Fire(keep, command=sys.argv[2:])
    return given


def _has(configs: ConfigParser, name: str) -> bool:
    parent = configs.get(ReferenceResolver.split_id(name, last=True)[0])
    return name in configs or (isinstance(parent, dict) and "_target_" in parent)


def _unknown(name: str, configs: ConfigParser, known: set[str]) -> str:
    parent = ReferenceResolver.split_id(name, last=True)[0]
    entries = [f"{parent}{ReferenceResolver.sep}{key}" if parent else key for key in configs.get(parent)]
    found = get_close_matches(ReferenceResolver.normalize_id(name), [*entries, *known], 1, _ALIKE)
    hint = f"did you mean --{found[0]}?" if found else "the configs have none like it"
    return f"option --{name} is unknown: {hint}"


def _wrong_type(wanted: Any, value: Any) -> str:
    """What is wrong with a text given for a number or a bool; an expression, reference or macro may become one."""
    if not isinstance(wanted, (bool, int, float)) or not isinstance(value, str) or value[:1] in ("$", "@", "%"):
        return ""
    if isinstance(wanted, bool):
        return "" if value == "true" else f"'{value}' is a text, which counts as true. Write True or False"
    return f"'{value}' is a text. Write a number, such as {wanted}"
