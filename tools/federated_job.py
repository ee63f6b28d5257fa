"""A job of NVIDIA FLARE that trains a bundle at several sites: no scan leaves its site, only weights do.

    python -m tools.federated_job BUNDLE JOB --site hospital_a=/data/a --site hospital_b=/data/b [--rounds 10] \\
        [--local_epochs 1] [--initial_weights models/model.pt] [-- --amp true --batch_size 4]

BUNDLE is the folder of the bundle, at the same path on the server and at every site; ``--site`` names each and its
data (``dataset_dir``); what follows ``--`` are options of ``train.json`` at every site. JOB becomes a folder with the
configs of server and sites: FedAvg of the differences, weighted by the steps that a site did, and a validation of the
global weights at each site before every round. Run it with FLARE's own commands, see docs/federated.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from shared.runs.command_line import as_meant, wanted_value
from shared.runs.tables import write_json

ROOT = Path(__file__).resolve().parents[1]

_SHAREABLES = "nvflare.app_common.shareablegenerators.full_model_shareable_generator.FullModelShareableGenerator"
_AGGREGATOR = "nvflare.app_common.aggregators.intime_accumulate_model_aggregator.InTimeAccumulateWeightedAggregator"


def server_config(bundle: Path, sites: int, rounds: int, initial_weights: str) -> dict[str, Any]:
    """FedAvg from the ``network_def`` of the bundle's ``train.json``, or from weights of the bundle."""
    start = {"source_ckpt_filename": initial_weights} if initial_weights else {}
    components = {
        "persistor": (
            "monai_nvflare.monai_bundle_persistor.MonaiBundlePersistor",
            {"bundle_root": str(bundle), **start},
        ),
        "shareable_generator": (_SHAREABLES, {}),
        "aggregator": (_AGGREGATOR, {"expected_data_kind": "WEIGHT_DIFF"}),
    }
    controller = {
        "min_clients": sites,
        "num_rounds": rounds,
        "start_round": 0,
        "wait_time_after_min_received": 0,
        "train_timeout": 0,
        "train_task_name": "train",
        **{f"{name}_id": name for name in components},
    }
    path = "nvflare.app_common.workflows.scatter_and_gather.ScatterAndGather"
    return {
        "format_version": 2,
        "workflows": [{"id": "fedavg", "path": path, "args": controller}],
        "components": [{"id": key, "path": path, "args": args} for key, (path, args) in components.items()],
    }


def client_config(bundle: Path, local_epochs: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """MonaiAlgo on the bundle's ``train.json``; it validates with the same config, on the validation section."""
    algorithm = {
        "bundle_root": str(bundle),
        "local_epochs": local_epochs,
        "train_kwargs": options,
        "config_evaluate_filename": ["configs/train.json"],
        "eval_kwargs": options,
    }
    executor = {
        "path": "monai_nvflare.client_algo_executor.ClientAlgoExecutor",
        "args": {"client_algo_id": "client", "key_metric": "val_loss"},
    }
    return {
        "format_version": 2,
        "executors": [{"tasks": ["train", "submit_model", "validate"], "executor": executor}],
        "components": [{"id": "client", "path": "monai.fl.client.MonaiAlgo", "args": algorithm}],
    }


def write_job(given: argparse.Namespace, options: Mapping[str, Any]) -> None:
    """Write ``meta.json`` and the configs of server and sites below ``given.job``."""
    bundle, job = given.bundle.resolve(), given.job
    apps = {"app_server": ("server", server_config(bundle, len(given.site), given.rounds, given.initial_weights))}
    for site, data in given.site.items():
        results = f"$os.path.join(@bundle_root, 'eval', 'federated', '{site}')"
        own = {"bundle_root": str(bundle), "dataset_dir": data, "ckpt_dir": results, "output_dir": results, **options}
        apps[f"app_{site}"] = (site, client_config(bundle, given.local_epochs, own))
    for app, (where, config) in apps.items():
        folder = job / app / "config"
        folder.mkdir(parents=True)
        write_json(folder / f"config_fed_{'server' if where == 'server' else 'client'}.json", config)
    deployed = {app: [where] for app, (where, _) in apps.items()}
    write_json(job / "meta.json", {"name": bundle.name, "min_clients": len(given.site), "deploy_map": deployed})


def typed_options(words: Sequence[str], config: Path) -> dict[str, Any]:
    """Of ``--key value`` pairs, values as JSON where they are, or as text where the config has a text.

    Raises:
        ValueError: an option without a value, a value without an option, a text where a number or a bool is wanted.
    """
    if len(words) % 2 or not all(key.startswith("--") for key in words[::2]):
        raise ValueError(f"write '--key value' after '--', not {' '.join(words)}")

    configs = ConfigParser(ConfigParser.load_config_file(config))

    def typed(name: str, text: str) -> Any:
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        try:
            return as_meant(value, text, wanted_value(configs, name))
        except ValueError as problem:
            raise ValueError(f"option --{name}: {problem}") from None

    names = [key.removeprefix("--") for key in words[::2]]
    return {name: typed(name, text) for name, text in zip(names, words[1::2])}


def site_and_data(entry: str) -> tuple[str, str]:
    """Of ``name=folder``."""
    name, _, data = entry.partition("=")
    if not data or not name.replace("_", "").replace("-", "").isalnum() or name == "server":
        raise argparse.ArgumentTypeError(f"{entry}: write name=folder, the name of letters, digits, - and _")
    return name, data


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit code 1 with the problem on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("job", type=Path, metavar="JOB")
    parser.add_argument("--site", type=site_and_data, action="append", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--local_epochs", type=int, default=1, help="of a site in each round")
    parser.add_argument("--initial_weights", default="", help="relative to BUNDLE; without, the first are random")
    words = list(sys.argv[1:] if arguments is None else arguments)
    end = words.index("--") if "--" in words else len(words)
    given = parser.parse_args(words[:end])
    given.site = dict(given.site)
    try:
        config = given.bundle / "configs" / "train.json"
        if not config.is_file():
            raise ValueError(f"{given.bundle} has no configs/train.json: give the folder of a bundle")
        if given.initial_weights and not (given.bundle / given.initial_weights).is_file():
            raise ValueError(
                f"{given.bundle / given.initial_weights} is not there: name weights relative to the bundle"
            )
        if given.job.exists():
            raise ValueError(f"{given.job} exists: name a new folder")
        write_job(given, typed_options(words[end + 1 :], config))
    except ValueError as problem:
        print(f"federated_job: {problem}", file=sys.stderr)
        return 1
    print(
        f"job: {given.job}. Try it here: PYTHONPATH={given.bundle.resolve()} nvflare simulator {given.job} "
        f"-w WORKSPACE -n {len(given.site)} -c {','.join(given.site)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
