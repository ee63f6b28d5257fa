"""Options of ``python -m monai.bundle run``: MONAI takes any name, so that a mistyped one would change nothing."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from monai.bundle import ConfigParser, ReferenceResolver, run, update_kwargs
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS
from monai.utils import optional_import

from .devices import check_device

fire, _ = optional_import("fire")  # there wherever the command runs; MONAI itself does without

DEBUG = "debug"  # the one option that no config has

_OWN = [name for name, p in inspect.signature(run).parameters.items() if p.kind is not p.VAR_KEYWORD]
_OPTIONAL = ("initialize", "finalize")  # entries that MONAI reads where a config has them
_BOOLS = {**dict.fromkeys(("true", "yes", "on", "1"), True), **dict.fromkeys(("false", "no", "off", "0"), False)}
_TRACKING: dict[str, Any] = {**cast(dict, DEFAULT_MLFLOW_SETTINGS["configs"]), "run_name": ""}  # None shows no type
_ALIKE = 0.7  # of difflib: 'stpes' and 'steps' have 0.8, 'epochs' and 'max_epochs' 0.75


def check_options() -> list[str]:
    """First step of a run: refuse options that the configs do not have, and text where they have a number or a bool.

    Known are the entries of the config files, arguments of their components (these refuse what they do not take), names
    that another option refers to (``@name``), and what MONAI itself reads. Called by anything but that command, such as
    ``ConfigWorkflow``, it does nothing.

    Returns:
        Words to add to the command, for the options that Fire has read as another value than the entry of the config
        shows that they mean: of ``--output_dir 2024_01_15`` it makes the number 20240115, of ``--resume no`` a text.

    Raises:
        SystemExit: with code 1 and a message.
        ValueError: there is no such device.
    """
    given = given_options()
    if not given:
        return []
    texts, words = given_options(as_text=True), []
    options = {**update_kwargs(given.pop("args_file", None), **given), **given}  # MONAI drops what is None
    configs = ConfigParser(ConfigParser.load_config_files(options["config_file"]))
    if "tracking" in options:  # MONAI adds these entries, where the configs have none of their own
        for name, default in _TRACKING.items():
            if name not in configs:
                configs[name] = default
    known = {*_OWN, *_OPTIONAL, DEBUG, "save_execute_config"}  # the last is a bool or a path
    for name, value in options.items():
        if name in known or any(f"@{name}" in str(other) for other in options.values()):
            continue
        if not _has(configs, name):
            raise SystemExit(_unknown(name, configs, known))
        wanted = wanted_value(configs, name)
        if isinstance(wanted, str) and _stands_alone(name):
            raise SystemExit(f"option --{name}: its value is missing")
        try:
            meant = as_meant(value, texts.get(name, value), wanted)
        except ValueError as problem:
            raise SystemExit(f"option --{name}: {problem}") from None
        if meant != value or type(meant) is not type(value):
            words.append(f"--{name}={meant!r}")
        if meant is not None:
            configs[name] = meant
    if "device" in options and (device := wanted_value(configs, "device")) is not None:
        check_device(device)
    return words


def given_options(as_text: bool = False) -> dict[str, Any]:
    """What the command line of ``python -m monai.bundle run`` says, read as MONAI reads it; {} in other programs.

    Args:
        as_text: give the values as they were typed.
    """
    given: dict[str, Any] = {}
    if Path(sys.argv[0]).parts[-3:] == ("monai", "bundle", "__main__.py") and sys.argv[1:2] == ["run"]:

        @functools.wraps(run)  # Fire asks for the signature
        def keep(*values: Any, **named: Any) -> None:
            given.update({name: value for name, value in zip(_OWN, values) if value is not None}, **named)

        fire.Fire(fire.decorators.SetParseFn(str)(keep) if as_text else keep, command=sys.argv[2:])
    return given


def as_meant(value: Any, text: Any, wanted: Any) -> Any:
    """What an option means.

    Args:
        value: as Fire has read it, or as it stands in a file of arguments.
        text: as it was typed; a text in quotes is meant as Fire reads it, as are MONAI's ``$``, ``@`` and ``%``.
        wanted: the value that the configs have in its place, None where they do not show its type.

    Returns:
        The text where a text is wanted, true or false where a bool is wanted; else the value.

    Raises:
        ValueError: it is something else where a number, a whole number, a bool, a list or a dictionary is wanted. One
            whole number in place of several is left to what takes it: a size may mean all axes.
    """
    typed = str(text)
    if typed[:1] in ("$", "@", "%"):
        return value
    if isinstance(wanted, str):
        return value if isinstance(value, str) and typed[:1] in ("'", '"') else typed
    if isinstance(wanted, bool) or (wanted is None and typed in ("true", "false")):
        if typed.lower() not in _BOOLS:
            raise ValueError(f"{typed!r} is neither true nor false. Write one of these")
        return _BOOLS[typed.lower()]
    if isinstance(wanted, (int, float)) and value is not None and type(value) not in (int, float):
        raise ValueError(f"{typed!r} is no number. Write one, such as {wanted}")
    if type(wanted) is int and isinstance(value, float):
        raise ValueError(f"{typed!r} is no whole number. Write one, such as {wanted}")
    if isinstance(wanted, (list, tuple)) and wanted and value is not None:
        _check_list(value, typed, list(wanted))
    if isinstance(wanted, dict) and not isinstance(value, dict) and value is not None:
        raise ValueError(f"{typed!r} is no dictionary. Write one{_example(wanted)}")
    return value


def _check_list(value: Any, typed: str, wanted: list[Any]) -> None:
    numbers = all(type(item) in (int, float) for item in wanted)
    if type(value) is int and all(type(item) is int for item in wanted):
        return
    if not isinstance(value, (list, tuple)) or (numbers and any(type(item) not in (int, float) for item in value)):
        raise ValueError(f"{typed!r} is no list{' of numbers' if numbers else ''}. Write one{_example(wanted)}")


def _example(wanted: Any) -> str:
    return "" if "_target_" in str(wanted) else f", such as {wanted}"


def wanted_value(configs: ConfigParser, name: str) -> Any:
    """The entry of an option; of an expression its value, which shows its type; None where it shows none."""
    entry = configs.get(name)
    if not isinstance(entry, str) or entry[:1] not in ("$", "@", "%"):
        return entry
    try:
        return configs.get_parsed_content(name)
    except Exception:  # whatever an expression may raise, such as one that needs an option that is not given
        return None


def _stands_alone(name: str) -> bool:
    """Whether an option is the last word of the command or followed by another one: Fire gives it the value True."""
    flags = [(w.lstrip("-").replace("-", "_"), after) for w, after in pairwise([*sys.argv, "--"]) if w[:1] == "-"]
    return any(flag == name and re.match("--|-[a-zA-Z]", after) for flag, after in flags)


def _has(configs: ConfigParser, name: str) -> bool:
    parent = configs.get(ReferenceResolver.split_id(name, last=True)[0])
    return name in configs or (isinstance(parent, dict) and "_target_" in parent)


def _unknown(name: str, configs: ConfigParser, known: set[str]) -> str:
    parent = ReferenceResolver.split_id(name, last=True)[0]
    entries = [f"{parent}{ReferenceResolver.sep}{key}" if parent else key for key in configs.get(parent)]
    found = get_close_matches(ReferenceResolver.normalize_id(name), [*entries, *known], 1, _ALIKE)
    hint = f"did you mean --{found[0]}?" if found else "the configs have none like it"
    return f"option --{name} is unknown: {hint}"
