"""A command that an error of ours ends says so in one line: what is wrong, and what to do about it."""

from __future__ import annotations

import ast
import contextlib
import errno
import json
import os
import re
import sys
import time
import traceback
from pathlib import Path
from types import TracebackType

from .errors import causes

_OURS = re.compile(r"(scripts\.)?shared\.|tools\.|__main__")  # modules whose errors speak to the user
_NOT_ALLOWED = "Choose a place that may be written to, such as another --output_dir"
_NOT_THERE = "Check the path"
_IN_THE_WAY = "Rename or remove it, or choose another --output_dir"
_NO_SPACE = "Free some space, or choose another place, such as another --output_dir"
_EXPRESSION = "Failed to evaluate ConfigExpression: \n"  # what MONAI says, and then the text as Python writes it
_REFERENCE = re.compile(r"__local_refs\['(.+?)'\]")  # what MONAI has made of @name
_OF_THE_MACHINE = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _NOT_ALLOWED),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR), _NOT_THERE),
    **dict.fromkeys((errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY), _IN_THE_WAY),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _NO_SPACE),
}


def end_in_one_line(debug: bool = False) -> None:
    """Print an error that nothing catches as one line, where it is ours; the exit code stays 1.

    Ours is what a ``raise`` statement of this package or of the tools raised, a file that is not there, a disk that
    takes nothing more, or an expression of the configs that does not go with the options that it is made of. MONAI
    wraps it in errors of its own, which are left out. Any other error is a fault of the program, and is shown whole.
    torchrun, which has the last word where it started this process, is told the line.

    Args:
        debug: show the whole of ours too, before the line.
    """

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        line = last_line(error)
        if debug or not line:
            sys.__excepthook__(kind, error, trace)
        if line:
            print(line, file=sys.stderr)
            _tell_torchrun(line)

    sys.excepthook = end


def last_line(error: BaseException) -> str:
    """What a user is told of an error, or of the one of ours that caused it, in one line; "" of any other error."""
    if isinstance(error, KeyboardInterrupt):
        return "stopped by Ctrl-C"
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in _OF_THE_MACHINE:
            return f"error: {cause.filename or 'a file'}: {cause.strerror}. {_OF_THE_MACHINE[cause.errno]}."
        if _is_ours(cause):
            return "error: " + "; ".join(line.strip() for line in str(cause).splitlines())
        if line := _of_an_expression(cause):
            return line
    return ""


def _is_ours(error: BaseException) -> bool:
    """Whether a ``raise`` statement of ours made it: a slip of the program comes from any other kind of line."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not frames or not _OURS.match(frames[-1][0].f_globals.get("__name__", "")):  # MONAI's expressions have none
        return False
    (place,) = traceback.StackSummary.extract(frames[-1:])
    return str(place.line).startswith("raise ")


def _of_an_expression(error: BaseException) -> str:
    """The line of an expression of the configs that fails itself, not in what it calls; "" of any other error."""
    why = error.__cause__
    frames = list(traceback.walk_tb(why.__traceback__)) if why else []
    if not frames or frames[-1][0].f_code.co_filename != "<string>" or not str(error).startswith(_EXPRESSION):
        return ""
    expression = ast.literal_eval(str(error).removeprefix(_EXPRESSION))
    options = ", ".join(dict.fromkeys(f"--{name}" for name in _REFERENCE.findall(expression))) or "the configs"
    written = _REFERENCE.sub(r"@\1", expression)
    return f"error: the configs' '{written}' cannot be computed ({' '.join(str(why).split())}). Check {options}."


def _tell_torchrun(line: str) -> None:
    """Leave the line where torchrun looks for the traceback that it prints of a process that failed."""
    if file := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        about = {"py_callstack": line, "timestamp": str(int(time.time()))}
        with contextlib.suppress(OSError):  # such as a full disk, of which the line may tell
            Path(file).write_text(json.dumps({"message": {"message": line, "extraInfo": about}}), encoding="utf-8")
