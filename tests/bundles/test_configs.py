"""The configs of all bundles read like Methods: each number says why, a key has one meaning, equal overlays agree."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigParser

from tests.helpers.bundle import Bundle
from tests.helpers.paths import ROOT

BUNDLES = {path.name.split("_")[-1]: Bundle(path.relative_to(ROOT)) for path in sorted(ROOT.glob("bundles/*"))}
ANOMALY = ("itermask3d", "mmccd", "tsgm")
CONFIGS = {
    (name, file.stem): bundle.config(file.name)
    for name, bundle in BUNDLES.items()
    for file in sorted((bundle.folder / "configs").glob("*.json"))
    if not file.stem.endswith("metadata")
}
OVERLAYS = {key: config for key, config in CONFIGS.items() if "bundle_root" not in config}
BASES = {key: config for key, config in CONFIGS.items() if key not in OVERLAYS}
BASES_OF = {  # what comes before an overlay on the command line; of all others inference.json
    **dict.fromkeys(("multi_gpu_train", "train_single_channel", "train_classifier"), ("train",)),
    **dict.fromkeys(("multi_gpu_train_cyclegan", "show_pairs"), ("train_cyclegan",)),
    **dict.fromkeys(("brain_slices", "chest_xray", "metaphysis"), ("train",)),
    **dict.fromkeys(("reference", "reference_augmented", "reference_plus_generated"), ("train_resnet34",)),
    **dict.fromkeys(("resnet18", "train_unet", "evaluate_resnet34"), ("train_resnet34",)),
    "evaluate_unet": ("train_resnet34", "evaluate_resnet34"),
}
OBVIOUS = {"seed", "rank", "world_size", "num_workers", "spatial_dims", "iteration_log"}
OBVIOUS |= {"in_channels", "out_channels", "n_input_channels", "num_classes"}  # of networks
LONGEST_DESCRIPTION, LONGEST_EXPRESSION = 160, 120  # characters
SEVERAL_KINDS = {
    "timesteps": "evenly spaced by a function, or listed",
    "median_radius": "one number for all axes, or one for each, as the filter takes it",
}

of_each_config = pytest.mark.parametrize("key", CONFIGS, ids="-".join)
of_each_base = pytest.mark.parametrize("key", BASES, ids="-".join)


def entries(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All that is in a config, with the way to it; the config itself first."""
    yield path, value
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from entries(part, (*path, str(key)))


def at(config: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        config = config[int(key)] if isinstance(config, list) else config[key]
    return config


def component_around(config: Any, path: tuple[str, ...]) -> Any:
    """The innermost component on the way to an entry, the entry left out, or None."""
    above = (at(config, path[:n]) for n in reversed(range(1, len(path))))
    return next((part for part in above if isinstance(part, dict) and "_target_" in part), None)


def is_expression(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("$", "@")) and len(value) > 1


def computes_with_numbers(value: Any) -> bool:
    """Whether an expression holds a number that is neither in a text, nor in a name, nor picks an item."""
    if not is_expression(value):
        return False
    return bool(re.search(r"(?<![\w.])\d", re.sub(r"(?<=\w)\[[^\]]*\]", "", re.sub(r"'[^']*'", "", value))))


def last(key: str) -> str:
    """Of the key ``unet#width`` of an overlay ``width``."""
    return key.split("#")[-1]


def unexplained(config: dict[str, Any]) -> list[str]:
    """Numbers without a ``_desc_``, that of their component or of the config."""
    described, wrong = config.get("_desc_", {}), []
    for path, value in entries(config):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if path[:1] == ("_desc_",) or not (number or (len(path) == 1 and computes_with_numbers(value))):
            continue
        names, component = {last(key) for key in path}, component_around(config, path)
        if names & OBVIOUS or (component and component["_target_"].endswith(("DataLoader", "CaseLoader"))):
            continue
        if not (component.get("_desc_") if component else last(path[0]) in described):
            wrong.append("#".join(path))
    return wrong


@of_each_config
def test_every_number_says_where_it_comes_from(key):
    assert unexplained(CONFIGS[key]) == []


def test_a_number_without_a_reason_is_found():
    network = {"_target_": "UNet", "in_channels": 1, "channels": [16, 32]}
    config = {"seed": 0, "steps": 5, "net": network, "box": "$[16, 2 * @side]", "first": "$@names[0] + '2'"}
    assert unexplained(config) == ["steps", "net#channels#0", "net#channels#1", "box"]
    config |= {"_desc_": {"steps": "few", "box": "of a head"}, "net": {**network, "_desc_": "small"}}
    assert unexplained(config) == []


@of_each_config
def test_descriptions_are_short_and_of_what_is_there(key):
    config = CONFIGS[key]
    texts = config["_desc_"].values() if isinstance(config["_desc_"], dict) else [config["_desc_"]]
    texts = [*texts, *(v for path, v in entries(config) if path[-1:] == ("_desc_",) and len(path) > 1)]
    assert all(isinstance(text, str) and 0 < len(text) <= LONGEST_DESCRIPTION for text in texts)
    assert not any(text[0] in "$@%" for text in texts), "MONAI would take it for an expression"
    if isinstance(config["_desc_"], dict):
        described = [name for name in config["_desc_"] if name != "overlay"]
        assert described == [name for name in dict.fromkeys(map(last, config)) if name in described], "not in order"


@of_each_config
def test_a_description_reaches_no_component_as_an_argument(key):
    """MONAI drops that of a component; a plain table would be handed over with it."""
    above = [path[:-1] for path, _ in entries(CONFIGS[key]) if path[-1:] == ("_desc_",) and len(path) > 1]
    assert all("_target_" in at(CONFIGS[key], path) for path in above)


@pytest.mark.parametrize("key", OVERLAYS, ids="-".join)
def test_an_overlay_says_what_it_is_for(key):
    described = OVERLAYS[key]["_desc_"]
    assert isinstance(described, str) or next(iter(described)) == "overlay"


@of_each_base
def test_the_order_is_that_of_a_methods_section(key):
    method = ["output_dir", "dataset", "read", "network_def", "inferer", "find", "save", "postprocessing", "report"]
    training = ["output_dir", "read", "network_def", "optimizer", "train", "validate"]
    wanted = [name for name in (training if "train" in BASES[key] else [*method, "evaluator"]) if name in BASES[key]]
    found = list(BASES[key])
    assert found[0] == "_desc_" and found[1] == "imports" and found[-1] == "run"
    assert [name for name in found if name in wanted] == wanted and len(wanted) > 1


@of_each_config
def test_nothing_is_addressed_by_its_position(key):
    """Handlers and transforms that another config changes have names; data in a fixed order are no matter of this."""
    for path, value in entries(CONFIGS[key]):
        ids = [*(k for k in path if "#" in k), *(re.findall(r"@[\w#:]+", value) if is_expression(value) else [])]
        assert not [name for name in ids if re.search(r"(#|::)\d", name)], path
        assert not (is_expression(value) and re.search(r"\[[^\]]*:\s*-\s*\d", value)), path


@of_each_config
def test_expressions_are_short(key):
    for path, value in entries(CONFIGS[key]):
        if is_expression(value):
            assert "\n" not in value and len(value) - 1 <= LONGEST_EXPRESSION, path


def named(value: Any) -> set[str]:
    """Keys of the top level that a value refers to, but to ask whether they are empty."""
    texts = (re.sub(r"bool\(@\w+\)", "", part) for _, part in entries(value) if is_expression(part))
    return {name for text in texts for name in re.findall(r"@(\w+)", text)}


def is_plain(parser: ConfigParser, key: str) -> bool:
    """Whether a value is made without building any component."""
    value = parser.get(key)
    built = any(isinstance(part, dict) and "_target_" in part for _, part in entries(value))
    return not built and all(is_plain(parser, name) for name in named(value))


@pytest.fixture
def parsed(monkeypatch):
    """Read a config of a bundle, overlays last, as the first of two processes."""
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)

    def parse(bundle: str, *names: str) -> ConfigParser:
        parser = BUNDLES[bundle].parsed(*names)
        parser.parse()
        return parser

    return parse


def kind_of(parser: ConfigParser, key: str) -> str:
    value = parser[key]
    if is_expression(value):
        value = parser.get_parsed_content(key) if is_plain(parser, key) else {"_target_": value}
    if isinstance(value, dict):
        return "component" if "_target_" in value else "table"
    kinds = {bool: "switch", int: "number", float: "number", str: "text", tuple: "list"}
    return kinds.get(type(value), type(value).__name__)


def test_a_key_has_one_kind_of_value_everywhere(parsed):
    kinds: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for bundle, name in CONFIGS:
        before = () if (bundle, name) in BASES else BASES_OF.get(name, ("inference",))
        parser = parsed(bundle, *before, name)
        for key in CONFIGS[bundle, name]:
            if key.isidentifier() and key not in ("_desc_", *SEVERAL_KINDS):
                kinds[key][kind_of(parser, key)].append(f"{bundle}/{name}")
    for found in kinds.values():
        found.pop("NoneType", None)  # switched off
    assert {key: dict(found) for key, found in kinds.items() if len(found) > 1} == {}


def settled(parser: ConfigParser, key: str) -> Any:
    """What a value comes to without building it, dropout and descriptions left out."""
    value = parser[key]
    if isinstance(value, dict):
        return {k: settled(parser, f"{key}::{k}") for k in value if k not in ("_desc_", "dropout")}
    if isinstance(value, list):
        return [settled(parser, f"{key}::{n}") for n in range(len(value))]
    if not is_expression(value):
        return value
    if all(is_plain(parser, name) for name in named(value)):
        return parser.get_parsed_content(key)
    return settled(parser, value[1:]) if value[1:] in parser else [value, {n: settled(parser, n) for n in named(value)}]


@pytest.mark.parametrize(
    ("bundle", "used", "trained"),
    [
        ("itermask3d", "inference network_def", "train network_def"),
        ("mmccd", "inference network_def", "train network_def"),
        ("tsgm", "inference network_def", "train network_def"),
        ("tsgm", "inference inference_single_channel network_def", "train train_single_channel network_def"),
        ("tsgm", "inference inference_paper network_def", "train train_single_channel network_def"),
        ("macdm", "inference network_def", "train network_def"),
        ("macdm", "inference classifier_def", "train train_classifier network_def"),
        ("macdm", "evaluate_samples judge_def", "train_resnet34 resnet18 network_def"),
        ("macdm", "evaluate_samples features_def", "train_resnet34 resnet18 network_def"),
        ("macdm", "evaluate_samples segmenter_def", "train_resnet34 train_unet network_def"),
        ("macdm", "segment network_def", "train_resnet34 train_unet network_def"),
    ],
)
def test_the_network_in_use_is_the_one_that_was_trained(parsed, bundle, used, trained):
    networks = []
    for words in (used.split(), trained.split()):
        networks.append(settled(parsed(bundle, *words[:-1]), words[-1]))
    assert networks[0] == networks[1]


@of_each_base
def test_a_run_takes_its_folders_before_anything_else(key):
    config = BASES[key]
    written = [f"@{name}" for name in ("output_dir", "ckpt_dir") if name in config]
    assert config["run"][0] == "$@start" and config["start"]["folders"] == written


def test_inference_on_several_processes_is_the_same_overlay_for_all():
    files = {(BUNDLES[name].folder / "configs" / "multi_gpu_inference.json").read_bytes() for name in ANOMALY}
    assert len(files) == 1


def test_training_on_several_processes_differs_in_the_network_alone():
    overlays = [config for (_, name), config in CONFIGS.items() if name.startswith("multi_gpu_train")]
    networks, module = (
        [overlay["network"] for overlay in overlays],
        r"(\(@initial_network or @network_def\)|@network_def)",
    )
    assert len(overlays) == len([key for key in BASES if "train" in key[1]]) - 1  # that of ResNet-34 has none
    assert len({json.dumps({**overlay, "network": ""}) for overlay in overlays}) == 1
    assert {network["_target_"] for network in networks} == {"torch.nn.parallel.DistributedDataParallel"}
    assert len({network["device_ids"] for network in networks}) == 1
    for network in networks:
        assert set(network) <= {"_target_", "module", "device_ids", "find_unused_parameters"}
        assert re.fullmatch(rf"\${module}\.to\(@device.*\)", network["module"])


@pytest.mark.parametrize(
    ("overlay", "own"),
    [
        ("calibrate", {"_desc_", "false_positive_rate", "desc", "settings", "quality_score"}),
        ("evaluate", {"_desc_", "by_slice"}),
    ],
)
def test_overlays_of_the_anomaly_bundles_differ_in_little(overlay, own):
    def common(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: "its own" if key in own else common(part) for key, part in value.items() if key not in own}
        return [common(part) for part in value] if isinstance(value, list) else value

    assert len({json.dumps(common(CONFIGS[name, overlay])) for name in ANOMALY}) == 1


@pytest.mark.parametrize("bundle", BUNDLES)
def test_monai_drops_descriptions(parsed, bundle):
    parser = parsed(bundle, "train")
    parser["network_def"] = {"_target_": "torch.nn.ReLU", "_desc_": "It takes no such argument.", "inplace": True}
    assert parser.get_parsed_content("network_def").inplace
    assert parser.get_parsed_content("_desc_") == CONFIGS[bundle, "train"]["_desc_"]
    assert Path(parser.get_parsed_content("bundle_root")).is_dir()
