"""The commands of a demonstration, for each bundle; standard library only, as a bare Python reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SEED = 9000  # subjects that no network was trained on
SPACING = "2"  # mm, of those examined as of those that set the threshold: noise and detail depend on it
HEALTHY = 12  # people differ, and the threshold is one for all
FALSE_POSITIVE_RATE = "0.002"  # as of the stored thresholds of IterMask3D: 3 ml of a brain of 1.3 l
RADIOGRAPHS = ROOT / "bundles/tibia_radiograph_synthesis_macdm"


@dataclass(frozen=True)
class BrainDemo:
    """What is simulated for a bundle, and the configs that keep it within minutes."""

    title: str
    bundle: Path
    sequences: tuple[str, ...]
    lesions: tuple[str, str] = ("tumour", "stroke")
    overlays: tuple[str, ...] = ()
    note: str = ""


BRAIN_DEMOS = {
    "itermask3d": BrainDemo("IterMask3D", ROOT / "bundles/brain_mri_anomaly_itermask3d", ("t1",)),
    "mmccd": BrainDemo("MMCCD", ROOT / "bundles/brain_mri_anomaly_mmccd", ("flair",)),
    "tsgm": BrainDemo(
        "TSGM",
        ROOT / "bundles/brain_mri_anomaly_tsgm",
        ("t1", "t1ce", "flair"),
        overlays=("inference_fast.json",),
        note=" with fewer slices, samples and evaluations than usual (inference_fast.json)",
    ),
}


@dataclass(frozen=True)
class Step:
    """One command, run at the root of the collection; ``says`` tells the user what it is for."""

    says: str
    command: list[str]


def steps(python: Path, output_dir: Path, bundle: str, subjects: int = 1) -> list[Step]:
    """Return the steps of a bundle's demonstration, with ``output_dir`` absolute; ``subjects`` of each kind."""
    if bundle == "macdm":
        return radiograph_steps(python, output_dir)
    return brain_steps(python, output_dir, BRAIN_DEMOS[bundle], subjects)


def bundle_command(python: Path, bundle: Path) -> list[str]:
    """The command that runs a bundle, without its configs and options."""
    # MONAI warns that a config runs code and should be trusted, and this one comes with the tool that runs it; the
    # other warnings left out are about MONAI's own calls. Errors and all other warnings are shown.
    quiet = ["-W", "ignore:parsing config_file", "-W", "ignore:Parameter `min_size` is deprecated"]
    command = [str(python), *quiet, "-m", "monai.bundle", "run", "--bundle_root", str(bundle)]
    return [*command, "--logging_file", str(ROOT / "tools" / "quickstart_logging.conf")]


def brain_steps(python: Path, output_dir: Path, demo: BrainDemo, subjects: int) -> list[Step]:
    """Anomalies: healthy brains and brains with a lesion, beside other healthy ones that set the threshold."""
    made, healthy, calibration = output_dir / "input", output_dir / "healthy", output_dir / "calibration.json"
    kinds, cases = ("none", *demo.lesions), 3 * subjects
    simulate = [str(python), "-m", "shared.simulation.phantom_brain"]
    scanner = ["--sequences", ",".join(demo.sequences), "--spacing", SPACING]
    names = " ".join(demo.sequences).upper()
    configs = [str(demo.bundle / "configs" / name) for name in ("inference.json", *demo.overlays)]
    bundle = [*bundle_command(python, demo.bundle), "--calibration_file", str(calibration)]
    return [
        Step(
            f"Simulating {cases} {names} brains: {', '.join(('healthy', *demo.lesions))}, into {made}",
            [*simulate, str(made), "--cases", str(cases), "--lesions", ",".join(kinds), *scanner]
            + ["--seed", str(SEED), "--section", "test"],
        ),
        Step(
            f"Simulating {HEALTHY} healthy brains of other people, into {healthy}",
            [*simulate, str(healthy), "--cases", str(HEALTHY), *scanner]
            + ["--seed", str(SEED + 100), "--section", "validation"],
        ),
        Step(
            "Fitting the threshold to them, as every site does with its own healthy scans (1 to 2 minutes)",
            [*bundle, "--config_file", str([*configs, str(demo.bundle / "configs" / "calibrate.json")])]
            + ["--datalist", str(healthy / "datalist.json"), "--false_positive_rate", FALSE_POSITIVE_RATE],
        ),
        Step(
            f"Looking for anomalies with {demo.title}{demo.note} (1 to 2 minutes)",
            [*bundle, "--config_file", str(configs)]
            + ["--datalist", str(made / "datalist.json"), "--output_dir", str(output_dir)],
        ),
        Step(
            "Comparing with the lesions that were put in",
            [str(python), "-W", "ignore:monai.metrics.utils get_mask_edges", "-m", "tools.quickstart_summary"]
            + [str(output_dir)],
        ),
    ]


def radiograph_steps(python: Path, output_dir: Path) -> list[Step]:
    """MaC-DM: samples from noise, samples from given radiographs, and the segmenter on both kinds."""
    made, changed = output_dir / "input", output_dir / "from_images"
    simulated = ["--datalist", str(made / "datalist.json"), "--section", "test"]

    def bundle(*configs: str) -> list[str]:
        files = [str(RADIOGRAPHS / "configs" / f"{name}.json") for name in configs]
        return [*bundle_command(python, RADIOGRAPHS), "--config_file", str(files)]

    segment = bundle("train_resnet34", "train_unet", "evaluate_resnet34", "evaluate_unet")
    return [
        Step(
            f"Simulating eight radiographs of ankles, four of them with a fracture, into {made}",
            [str(python), "-m", "shared.simulation.phantom_tibia", str(made), "--cases", "8", "--size", "96"]
            + ["--lesions", "none,corner,none,bucket_handle", "--seed", str(SEED), "--section", "test"],
        ),
        Step(
            "Drawing twelve normal radiographs and twelve with a fracture, from noise, with their masks",
            [*bundle("inference"), "--samples", "12", "--output_dir", str(output_dir)],
        ),
        Step(
            "Varying the simulated radiographs: each as a normal one and with a fracture",
            [*bundle("inference", "inference_from_image"), *simulated, "--output_dir", str(changed)],
        ),
        Step(
            "Outlining tibia and fracture in the simulated radiographs by the segmenter",
            [*segment, *simulated, "--output_dir", str(output_dir / "segmenter_simulated")],
        ),
        Step(
            "Outlining them in those drawn from noise",
            [*segment, "--datalist", str(output_dir / "datalist.json"), "--section", "training"]
            + ["--output_dir", str(output_dir / "segmenter_generated")],
        ),
        Step("Summing up", [str(python), "-m", "tools.quickstart_radiographs", str(output_dir)]),
    ]
