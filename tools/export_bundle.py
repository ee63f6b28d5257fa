"""Export a bundle's network: ``python -m tools.export_bundle NAME --format torchscript|onnx --output_dir DIR``.

The network of ``inference.json`` with the weights of ``models`` is traced on an example of the inputs that the metadata
describe, written as ``<name>.ts`` or ``<name>.onnx``, read again, and compared with PyTorch on other inputs, of another
batch size, and of another image size where the export takes one. The exit code is 1 where a value differs by more than
1e-4 of the largest. Thresholds, masks and samplers are no part of the network; who runs an export brings them along.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from monai.bundle.scripts import _get_fake_spatial_shape
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]

TOLERANCE = 1e-4  # of the largest value

Run = Callable[[Sequence[Tensor]], Tensor]


def loaded(bundle: Path) -> tuple[nn.Module, dict]:
    """The network of inference.json with its weights, in float32 on the CPU, and the metadata of its inputs."""
    sys.path.insert(0, str(bundle))
    parser = ConfigParser(ConfigParser.load_config_file(str(bundle / "configs" / "inference.json")))
    network = parser.get_parsed_content("network_def")
    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    return network.eval(), metadata["network_data_format"]["inputs"]


def example(described: dict, batch: int, n: int, seed: int) -> tuple[Tensor, ...]:
    """Random inputs within the ranges that the metadata give, of the ``n``-th image size."""
    generator, inputs = torch.Generator().manual_seed(seed), []
    for tensor in described.values():
        shape = _get_fake_spatial_shape(tensor["spatial_shape"], n=n)
        channels = [tensor["num_channels"]] if shape or tensor["num_channels"] > 1 else []
        low, high = tensor["value_range"][0], tensor["value_range"][-1]
        inputs.append(low + (high - low) * torch.rand(batch, *channels, *shape, generator=generator))
    return tuple(inputs)


def to_torchscript(network: nn.Module, inputs: tuple[Tensor, ...], names: Sequence[str], path: Path) -> Run:
    torch.jit.save(torch.jit.trace(network, inputs, check_trace=False), path)
    read = torch.jit.load(path)
    return lambda given: read(*given)


def to_onnx(network: nn.Module, inputs: tuple[Tensor, ...], names: Sequence[str], path: Path) -> Run:
    import onnxruntime

    # The shapes are read by the exporter of traces: the newer one takes several networks' sizes for constants.
    axes = {
        name: {0: "batch", **{axis: f"{name}{axis}" for axis in range(2, x.dim())}} for name, x in zip(names, inputs)
    }
    torch.onnx.export(
        network, inputs, path, input_names=list(names), output_names=["pred"], dynamic_axes=axes, dynamo=False
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda given: torch.from_numpy(session.run(None, {n: x.numpy() for n, x in zip(names, given)})[0])


FORMATS = {"torchscript": (to_torchscript, ".ts"), "onnx": (to_onnx, ".onnx")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of a folder in bundles, or the path of an unpacked bundle")
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    given = parser.parse_args(arguments)
    bundle = Path(given.name) if (Path(given.name) / "configs").is_dir() else ROOT / "bundles" / given.name
    export, suffix = FORMATS[given.format]
    network, described = loaded(bundle.resolve())
    path = given.output_dir / f"{bundle.name}{suffix}"
    given.output_dir.mkdir(parents=True, exist_ok=True)
    worst = 0.0
    with torch.inference_mode():
        run = export(network, example(described, batch=2, n=1, seed=0), list(described), path)
        for batch, n in ((1, 1), (3, 2)):
            inputs = example(described, batch, n, seed=batch)
            wanted = network(*inputs)
            difference = float((run(inputs) - wanted).abs().max() / wanted.abs().max())
            print(f"images {tuple(inputs[0].shape)}: largest difference {difference:.1e} of the largest value")
            worst = max(worst, difference)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
