"""Custom components of this bundle: ``scripts.shared`` is the collection's shared code."""

from pathlib import Path

_here = Path(__file__).resolve()
if not (_here.parent / "shared").is_dir():  # a checkout; a packaged bundle carries its own copy
    if not (_here.parents[3] / "shared").is_dir():
        raise ImportError(
            f"{_here.parent} has no 'shared' folder. This is an unpackaged copy of a bundle: run it inside a clone of "
            "the collection, or run 'python -m tools.package_bundle' there and use the zip it makes."
        )
    __path__.append(str(_here.parents[3]))
