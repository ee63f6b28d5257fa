"""Draw the curves in the TensorBoard folder of a training run: ``plot_training.py OUTPUT_DIR CURVES.png``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read_scalars(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps and values of every scalar, from all event files of a folder; a resumed run has several."""
    found: dict[str, dict[int, float]] = {}
    for file in sorted(folder.glob("events.out.tfevents.*"), key=lambda f: f.stat().st_mtime):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0}).Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, {}).update((event.step, event.value) for event in events.Scalars(tag))
    return {tag: (np.array(sorted(v)), np.array([v[step] for step in sorted(v)])) for tag, v in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("picture", type=Path)
    args = parser.parse_args()
    scalars = read_scalars(args.output_dir)
    if not scalars:
        raise SystemExit(f"plot_training: no curves in {args.output_dir}; name the --output_dir of a training")
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    panels = figure.subplots(1, len(scalars), squeeze=False)[0]
    for axes, (tag, (steps, values)) in zip(panels, sorted(scalars.items())):
        axes.plot(steps, values, linewidth=0.6, alpha=0.5 if len(values) > 200 else 1.0)
        if len(values) > 200:
            width = len(values) // 50
            mean = np.convolve(values, np.full(width, 1 / width), mode="valid")
            axes.plot(steps[width - 1 :], mean, linewidth=1.5)
        axes.set(title=tag, yscale="log", xlabel="iteration" if len(values) > 200 else "epoch")
        axes.grid(alpha=0.3, which="both")
    figure.savefig(args.picture, dpi=110)
    print(args.picture)


if __name__ == "__main__":
    main()
