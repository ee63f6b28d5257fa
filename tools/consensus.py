"""One map and one mask of each case out of several anomaly bundles: what they agree on (docs/consensus.md).

    python -m tools.consensus --flair FLAIR.nii.gz --t1 T1.nii.gz --output_dir OUT
    python -m tools.consensus --datalist LIST.json --output_dir OUT

Each bundle is run into OUT/<bundle>, with its threshold at a share of the peak of its map, but never below the stored
one. The maps, in units of these thresholds, are fused by their geometric mean. Run again, the command goes on where it
stopped. Where a bundle has no result of a case, the others are fused, and the report says so. Of cases with a label
metrics.csv and metrics_summary.csv are written, as by evaluate.json of the bundles.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.quickstart_steps import ROOT, bundle_command

PEAK_SHARE = 0.3
"""Of the 99.5th percentile of each map. Chosen by five-fold cross-validation on 37 patients (docs/consensus.md)."""

BUNDLES = {name: ROOT / "bundles" / f"brain_mri_anomaly_{name}" for name in ("tsgm", "mmccd", "itermask3d")}
"""By the names of ``--members``; of these the first two are the default."""

SEQUENCES = ("t1", "t1ce", "t2", "flair")


def run_members(names: Sequence[str], datalist: Path, output_dir: Path) -> list[Any]:
    """Run the bundles on the cases of a datalist's section "test"; one that fails altogether has no rows."""
    from shared.reports.consensus_cases import Member

    members = []
    for name in names:
        folder = output_dir / name
        print(f"{name}: into {folder}", flush=True)
        command = [*bundle_command(Path(sys.executable), BUNDLES[name]), "--resume", "true"]
        command += ["--config_file", str(BUNDLES[name] / "configs" / "inference.json")]
        command += ["--datalist", str(datalist), "--section", "test", "--output_dir", str(folder)]
        command += ["--threshold_rule", "peak", "--peak_share", str(PEAK_SHARE)]
        done = subprocess.run(command, cwd=ROOT).returncode in (0, 2)  # 2: some cases were left out
        members.append(Member.read(name, folder) if done else Member(name, folder))
    return members


def fuse_all(cases: Sequence[Mapping[str, Any]], members: Sequence[Any], output_dir: Path) -> None:
    """Write maps, report and, of cases with a label, metrics; cases that cannot be fused are left out.

    Raises:
        NoUsableCaseError: none can.
        SystemExit: with code 2, when any was left out.
    """
    from tqdm import tqdm

    from shared.evaluation.cohort import CohortMetrics
    from shared.reports.consensus_cases import fuse
    from shared.reports.earlier_results import maps_of, set_aside
    from shared.reports.page import write_report
    from shared.runs.remaining_cases import RemainingCases
    from shared.runs.run_information import run_information

    remaining, metrics = RemainingCases(cases), CohortMetrics(str(output_dir), by_slice=True)
    rows, pictures = [], {}
    for case in tqdm(cases, desc="consensus", unit="case"):
        try:
            fused, pictures[case["case_id"]] = fuse(case, members, output_dir)
        except Exception as error:
            remaining.leave_out(case["case_id"], error)
            set_aside(output_dir, case["case_id"], maps_of(output_dir, case["case_id"]))
            continue
        rows.append(fused["row"])
        if "label" in fused or "group" in fused:
            metrics.add(fused)
    if metrics.rows:
        metrics.write()
    run = {**run_information(), "members": [member.name for member in members], "peak share": PEAK_SHARE}
    page = write_report(output_dir, "Consensus: anomalies in brain MRI", rows, pictures, remaining.failures, run)
    print(f"report: {page}")
    remaining.conclude()


def consensus(given: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        DataListError: the cases cannot be listed.
        OutputError: the folder is in use, or cannot be written to.
    """
    from shared.cases.sequence_cases import gather_sequence_cases
    from shared.runs.output_lock import OutputLock
    from shared.runs.tables import write_json

    files = {name: getattr(given, name) for name in SEQUENCES}
    sources = {"dataset_dir": given.dataset_dir, "datalist": given.datalist, "section": given.section}
    found = gather_sequence_cases(SEQUENCES, files=files, **sources)
    output_dir = Path(given.output_dir).resolve()
    lock = OutputLock([str(output_dir)])
    datalist = output_dir / "datalist.json"
    write_json(datalist, {"test": [_listed(case) for case in found if "image" in case]})
    fuse_all(list(found), run_members(given.members, datalist, output_dir), output_dir)
    del lock


def _listed(case: Mapping[str, str]) -> dict[str, str]:
    """A case as a datalist has it, each sequence by its name."""
    return {case["sequence"]: case["image"], **{k: v for k, v in case.items() if k not in ("image", "sequence")}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit code 1 with one line on stderr when nothing can be done, 2 when cases were left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in SEQUENCES:
        parser.add_argument(f"--{name}", default="", metavar="FILE", help=f"{name.upper()} of one brain")
    parser.add_argument("--datalist", default="", metavar="LIST.json", help="cases, as the bundles take them")
    parser.add_argument("--dataset_dir", default="", metavar="FOLDER", help="of scans, as the bundles take it")
    parser.add_argument("--section", default="test", help="of the datalist; default: %(default)s")
    parser.add_argument("--output_dir", required=True, metavar="OUT")
    parser.add_argument("--members", nargs="+", choices=BUNDLES, default=["tsgm", "mmccd"], help="default: tsgm mmccd")
    given = parser.parse_args(arguments)
    from shared.runs.errors import DataListError, NoUsableCaseError, OutputError

    try:
        consensus(given)
    except (DataListError, NoUsableCaseError, OutputError) as error:
        print(f"consensus: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
