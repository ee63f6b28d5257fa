"""Typed errors about input data; each says what is wrong where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence


class DataListError(ValueError):
    """The list of cases cannot be made: wrong options, an unreadable or wrong datalist, an empty folder, leakage."""


class InputError(ValueError):
    """One file of one case cannot be used.

    Args:
        file: path of the file (or the case, where it names no file).
        key: key of the file in the case (``t1``, ``image``, ``brain_mask``, ``label``, ...).
        problem: what is wrong, without a full stop.
        remedy: what the user can do, without a full stop.
    """

    def __init__(self, file: str, key: str, problem: str, remedy: str) -> None:
        super().__init__(file, key, problem, remedy)
        self.file, self.key, self.problem, self.remedy = str(file), key, problem, remedy

    def __str__(self) -> str:
        return f"{self.file} (key '{self.key}'): {self.problem}. {self.remedy}."


class NoUsableCaseError(ValueError):
    """No case passed the input check; the message tells the first failure, and that the log has the others.

    Args:
        failures: the failures as recorded by the door (keys ``file``, ``key``, ``error``, ``remedy``).
    """

    def __init__(self, failures: Sequence[Mapping[str, str]]) -> None:
        super().__init__(failures)
        self.failures = list(failures)

    def __str__(self) -> str:
        first, count = self.failures[0], len(self.failures)
        others = f"none of the {count} cases can be used; the log above names all, the first is " if count > 1 else ""
        return f"{others}{first['file']} (key '{first['key']}'): {first['error']}. {first['remedy']}."


class WeightsError(ValueError):
    """Weights or a checkpoint are missing, damaged or of another network; the message names file and remedy."""


class OutputError(ValueError):
    """An output folder is in use, holds what is of another run, or cannot be written to; the message names a remedy."""


class NonFiniteLossError(ArithmeticError):
    """A training has come to NaN or infinite numbers; the message names step, learning rate and cases."""


class NonFiniteOutputError(ArithmeticError):
    """A network returned NaN or infinite values.

    Args:
        count: of them.
        total: of all values.
        level: noise level or timestep, where the network was told one.
    """

    def __init__(self, count: int, total: int, level: float | None = None) -> None:
        super().__init__(count, total, level)
        self.count, self.total, self.level = count, total, level
        where = "" if level is None else f" at noise level or timestep {level:.4g}"
        self.problem = f"the network returned {count} values of {total} that are NaN or infinite{where}"
        self.remedy = "Compute in float32 (--amp False); if that does not help, the weights are damaged"

    def __str__(self) -> str:
        return f"{self.problem}. {self.remedy}."


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from, what that was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__
