"""Draw samples under several settings of MaC-DM and measure each: one table of cost and quality, with pictures.

    python -m tools.sample_study OUT --vary steps=10,25,50 --vary guidance=0,1,2 --set samples=32 \\
        --measure reference=REF.json --measure held_out=TEST.json --measure features_weights=F.pt ...

Every combination of the values of ``--vary`` is one setting. ``--set`` goes to all sampling runs (``inference.json``,
and the overlays of ``--overlays``), ``--measure`` to all runs of ``evaluate_samples.json``; both take any key of those
configs. Values of ``--vary`` are separated by commas, or by semicolons where they hold commas, as lists do.

OUT gets a folder for each setting, ``study.csv``, ``study.md`` and ``study.html``. What is finished is not repeated, so
that a stopped study is continued by the same command.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from shared.reports.page import Html, figure, table, write_page
from shared.reports.radiograph_grid import outlined, picture_grid
from shared.runs.files import replacing
from shared.runs.tables import write_csv

ROOT = Path(__file__).resolve().parents[1]

BUNDLE = ROOT / "bundles" / "tibia_radiograph_synthesis_macdm"
SHOWN = 6  # samples of each setting, evenly over its run, accepted or not


def settings_of(varied: Sequence[str]) -> list[dict[str, str]]:
    """All combinations of ``key=value,value,...``, the last key changing fastest.

    Raises:
        ValueError: an entry has no key or no value.
    """
    choices = {}
    for entry in varied:
        key, _, values = entry.partition("=")
        choices[key] = values.split(";" if ";" in values else ",")
        if not key or not all(choices[key]):
            raise ValueError(f"--vary {entry}: write key=value,value,...")
    return [dict(zip(choices, values)) for values in itertools.product(*choices.values())]


def given_options(entries: Sequence[str]) -> dict[str, str]:
    """Of ``key=value`` entries.

    Raises:
        ValueError: an entry is not of this form.
    """
    options = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    if wrong := [entry for entry in entries if not entry.partition("=")[0] or "=" not in entry]:
        raise ValueError(f"{wrong[0]}: write key=value")
    return options


def run_bundle(configs: Sequence[str], options: Mapping[str, Any], log: Path) -> None:
    """Run a command of the bundle, its output into ``log``.

    Raises:
        SystemExit: its exit code is not 0; names command and log.
    """
    files = [str(BUNDLE / "configs" / name) for name in configs]
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(files), "--bundle_root", str(BUNDLE)]
    command += [word for key, value in options.items() for word in (f"--{key}", str(value))]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        code = subprocess.run(command, cwd=ROOT, stdout=stream, stderr=stream).returncode
    if code:
        raise SystemExit(f"exit code {code}, see {log}; the command was\n{subprocess.list2cmdline(command)}")


def result_of(setting: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """The row of one finished setting: cost for each sample, share accepted, and the measures of the accepted ones."""
    samples = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    cases = samples["cases"]
    row: dict[str, Any] = {"case_id": name_of(setting), **setting, "samples": len(cases)}
    row |= {f"{part}_evaluations": cases[0][f"{part}_evaluations"] for part in ("network", "classifier")}
    row["seconds_per_sample"] = samples["run"]["seconds"] / len(cases)
    row["accepted"] = float(np.mean([case["accepted"] for case in cases]))
    report = folder / "quality" / "report.json"
    if report.exists():  # without two accepted samples there is nothing to measure
        metrics = json.loads(report.read_text(encoding="utf-8"))["metrics"]
        for name, (estimate, low, high) in metrics.items():
            row |= {name: estimate, f"{name}_low": low, f"{name}_high": high}
    return row


def name_of(setting: Mapping[str, str]) -> str:
    """Folder of a setting."""
    kept = "".join(c if c.isalnum() or c in "._-=" else "_" for c in ",".join(f"{k}={v}" for k, v in setting.items()))
    return kept or "default"


def table_of(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Headers and cells of the table for people; an interval stands behind its estimate."""
    columns = dict.fromkeys(
        key for row in rows for key in row if key != "case_id" and not key.endswith(("_low", "_high"))
    )
    headers = [*keys, *(column for column in columns if column not in keys)]

    def cell(row: Mapping[str, Any], column: str) -> str:
        value = row.get(column)
        if not isinstance(value, float):
            return "" if value is None else str(value)
        low, high = row.get(f"{column}_low"), row.get(f"{column}_high")
        return f"{value:.3g}" + (f" ({low:.3g} to {high:.3g})" if low is not None and high is not None else "")

    return [header.replace("_", " ") for header in headers], [[cell(row, h) for h in headers] for row in rows]


def pictures_of(folder: Path) -> np.ndarray:
    """Some samples of a setting in one row, each with its outlines."""
    files = sorted(folder.glob("samples/*_image.png")) + sorted(folder.glob("rejected/*_image.png"))
    files.sort(key=lambda file: file.name)
    chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, SHOWN).round().astype(int))]
    tiles = []
    for file in chosen:
        masks = (file.with_name(file.name.replace("_image", f"_{mask}_mask")) for mask in ("tibia", "lesion"))
        radiograph, tibia, lesion = (np.asarray(Image.open(path), dtype=np.float32) for path in (file, *masks))
        tiles.append(outlined(radiograph / 65535 * 2 - 1, tibia, lesion))
    return np.hstack(tiles)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--vary", action="append", default=[], metavar="KEY=VALUE,VALUE")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--measure", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--overlays", nargs="*", default=[], metavar="CONFIG.json")
    args = parser.parse_args(arguments)
    from shared.runs.run_information import run_information  # late: --help answers at once

    try:
        settings, always, measured = settings_of(args.vary), given_options(args.set), given_options(args.measure)
    except ValueError as error:
        parser.error(str(error))
    out = args.output_dir.resolve()
    rows = []
    for setting in tqdm(settings, unit="setting"):
        folder = out / name_of(setting)
        if not (folder / "report.json").exists():
            options = {**always, **setting, "output_dir": folder}
            run_bundle(["inference.json", *args.overlays], options, folder / "inference.log")
        accepted = json.loads((folder / "datalist.json").read_text(encoding="utf-8"))["training"]
        if measured and len({case["class_label"] for case in accepted}) == 2:
            if not (folder / "quality" / "report.json").exists():
                options = {**measured, "generated": folder / "datalist.json", "output_dir": folder / "quality"}
                run_bundle(["evaluate_samples.json"], options, folder / "quality.log")
        rows.append(result_of(setting, folder))
        write_csv(out / "study.csv", rows)
    headers, cells = table_of(rows, list(settings[0]))
    lines = [f"| {' | '.join(line)} |" for line in (headers, ["---"] * len(headers), *cells)]
    with replacing(out / "study.md") as temporary:
        Path(temporary).write_text("\n".join(lines) + "\n", encoding="utf-8")
    captions = "".join(f"<li>{row['case_id']}</li>" for row in rows)
    picture = picture_grid([pictures_of(out / row["case_id"]) for row in rows])
    with replacing(out / "study.png") as temporary:
        Path(temporary).write_bytes(picture)
    shown = figure(picture, "samples of each setting", f"Row by row:<ol>{captions}</ol>", "samples")
    write_page(out / "study.html", "Settings of MaC-DM", [table(headers, cells), Html(shown)], run_information())
    print(f"table and pictures: {out / 'study.html'}")


if __name__ == "__main__":
    main()
