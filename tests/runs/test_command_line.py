"""command_line: options that MONAI would take in silence, judged by the configs of the bundles."""

from __future__ import annotations

import json
import sys

import monai.bundle.__main__ as program
import pytest

from shared.runs.command_line import check_options, given_options
from tests.helpers.paths import ROOT

BUNDLES = ROOT / "bundles"
TSGM = BUNDLES / "brain_mri_anomaly_tsgm" / "configs"


@pytest.fixture
def command(monkeypatch):
    def set_command(*words: str, configs: tuple[str, ...] = ("inference",)) -> None:
        files = [str(TSGM / f"{name}.json") for name in configs]
        given = [program.__file__, "run", "--config_file", str(files) if len(files) > 1 else files[0], *words]
        monkeypatch.setattr(sys, "argv", given)

    return set_command


def test_every_config_that_is_run_checks_its_options_first():
    configs = {file: json.loads(file.read_text(encoding="utf-8")) for file in BUNDLES.glob("*/configs/*.json")}
    first = {file: config["run"][0] for file, config in configs.items() if "run" in config}
    assert len(first) > len(list(BUNDLES.iterdir())) and set(first.values()) == {"$@start"}


def test_options_are_read_as_monai_reads_them(command):
    command("training", "--steps", "5", "--a#b=[1,'x']", "--resume", "--sequence", "t1", "--seed", "-3")
    read = {"run_id": "training", "steps": 5, "a#b": [1, "x"], "resume": True, "sequence": "t1", "seed": -3}
    assert given_options() == {**read, "config_file": str(TSGM / "inference.json")}


@pytest.mark.parametrize(
    "words",
    [
        ("--steps", "5", "--output_dir", "out", "--image=scan.nii.gz", "--meta_file", "metadata.json"),
        ("--displayable_configs#samples", "2", "--preprocessing#transforms#0", "None"),
        ("--dataloader#pin_memory", "True"),  # an argument that the config leaves at its default
        ("--batch_size", "$2 + 2", "--seed", "@steps"),
        ("--steps", "@mine", "--mine", "7"),
        ("--inferer", "{'_target_': 'SimpleInferer'}", "--inferer#anything", "1"),
        ("--tracking", "mlflow", "--experiment_name", "one", "--run_name", "first"),
        ("--finalize", "$print('done')"),
        ("--posterior_mean", "False"),
        ("--sigma_range", "[0.1, 348]", "--sequences", "t1,flair", "--box", "176,208"),
        ("--box", "176"),  # whether one number means all axes is for what takes it to say
        ("--sigma_range", "$[0.1, 348]"),
        ("--debug", "true"),
    ],
)
def test_options_of_the_configs_and_of_monai_pass(command, words):
    command(*words)
    assert check_options() == []


TEXTS = [
    "20240115",
    "2024_01_15",
    "007",
    "1e5",
    "my,out",
    "None",
    "True",
    "[a]",
    "(1)",
    "{a: 1}",
    "0x1f",
    "...",
    "run#2",
]


@pytest.mark.parametrize("text", [*TEXTS, "ﬁlm", "e\u0301", "1.50", "-5", "a'b", '"', "true", " x "])
def test_text_stays_text_where_the_configs_have_a_text(command, text):
    """Of a path (an expression), of an empty text, of a reference to a text, in each form of an option."""
    for words in (["--output_dir", text], [f"--image={text}"], ["-datalist", text], [f"--sequence={text}"]):
        name = words[0].split("=")[0].lstrip("-")
        command("--steps", "5", *words)
        sys.argv += check_options()
        assert given_options()[name] == text and given_options()["steps"] == 5
        assert check_options() == []


@pytest.mark.parametrize("text", ["None", "2024_01_15", "1e5"])
@pytest.mark.parametrize("name", ["output_dir", "experiment_name", "run_name", "tracking_uri"])
def test_text_stays_text_where_mlflow_keeps_track(command, name, text):
    command(f"--{name}", text, "--tracking", "mlflow", "--save_execute_config", "False")
    sys.argv += check_options()
    assert given_options()[name] == text and given_options()["save_execute_config"] is False
    assert check_options() == []


@pytest.mark.parametrize("device", ["cuda:77", "gpu", "77", "$torch.device('cuda:77')"])
def test_a_device_that_is_not_there_ends_the_run(command, device):
    command("--device", device)
    with pytest.raises(ValueError, match="device '.*' cannot be used .*Write --device cpu"):
        check_options()


def test_lengths_need_not_be_whole_numbers(command):
    command("--min_step_mm", "2.5", "--device", "cpu")
    assert check_options() == []


def test_a_text_in_quotes_of_its_own_is_meant_without_them(command):
    command("--output_dir", "'2024_01_15'", '--image="a b"')
    assert check_options() == []
    assert (given_options()["output_dir"], given_options()["image"]) == ("2024_01_15", "a b")


def test_numbers_in_a_file_of_arguments_are_text_too(command, tmp_path):
    (tmp_path / "args.json").write_text(json.dumps({"output_dir": 20240115, "resume": "no", "steps": 5}))
    command("--args_file", str(tmp_path / "args.json"))
    assert check_options() == ["--output_dir='20240115'", "--resume=False"]


@pytest.mark.parametrize("name", ["posterior_mean", "amp", "resume"])
@pytest.mark.parametrize(
    ("text", "meant"),
    [("false", False), ("no", False), ("0", False), ("False", False), ("off", False), ("FALSE", False)]
    + [("true", True), ("yes", True), ("1", True), ("True", True)],
)
def test_true_and_false_are_meant_in_every_spelling(command, name, text, meant):
    """Of ``amp`` the configs have an expression."""
    command(f"--{name}", text)
    sys.argv += check_options()
    assert given_options()[name] is meant and check_options() == []


def test_other_values_are_read_as_monai_reads_them(command):
    command("--channels", "t1,flair", "--steps", "5", "--dataloader#pin_memory", "false", "--weights", "'a' 'b'")
    assert check_options() == ["--dataloader#pin_memory=False"]


@pytest.mark.parametrize(
    "words, message",
    [
        (("--stpes", "9"), "option --stpes is unknown: did you mean --steps?"),
        (("--stpes=9",), "did you mean --steps?"),
        (("--steps", "9", "--datalst", "list.json"), "did you mean --datalist?"),
        (("--meta_fle", "metadata.json"), "did you mean --meta_file?"),
        (("--displayable_configs#sampels", "2"), "did you mean --displayable_configs::samples?"),
        (("--experiment_name", "one"), "option --experiment_name is unknown: the configs have none like it"),
        (("--seed", "first"), "option --seed: 'first' is no number. Write one, such as 0"),
        (("--seed", "1.5"), "option --seed: '1.5' is no whole number. Write one, such as 0"),
        (("--steps", "1e3"), "option --steps: '1e3' is no whole number"),
        (("--output_dir", "--tracking", "mlflow"), "option --output_dir: its value is missing"),
        (("--steps", "1,"), "option --steps: '1,' is no number"),
        (("--steps", "[5]"), "option --steps: '[5]' is no number"),
        (("--steps", "True"), "option --steps: 'True' is no number"),
        (("--sigma_range", "5"), "option --sigma_range: '5' is no list of numbers. Write one, such as [0.01, 80.0]"),
        (("--sigma_range", "low,high"), "option --sigma_range: 'low,high' is no list of numbers"),
        (("--sequences", "t1"), "option --sequences: 't1' is no list. Write one, such as ['t1', 't1ce', 'flair']"),
        (("--box", "big"), "option --box: 'big' is no list of numbers. Write one, such as ["),
        (("--fusion_weights", "1"), "option --fusion_weights: '1' is no dictionary. Write one, such as {'t1': 0.3, "),
        (("--inferer", "mine"), "option --inferer: 'mine' is no dictionary. Write one"),
        (("--handlers", "none"), "option --handlers: 'none' is no list. Write one"),
        (("--posterior_mean", "perhaps"), "option --posterior_mean: 'perhaps' is neither true nor false. Write one of"),
        (("--amp", "2"), "option --amp: '2' is neither true nor false"),
        (("--output_dir",), "option --output_dir: its value is missing"),
        (("--image", "--steps", "5"), "option --image: its value is missing"),
        (("--output-dir", "--steps", "5"), "option --output_dir: its value is missing"),
    ],
)
def test_others_end_the_run_with_a_suggestion(command, words, message):
    command(*words)
    with pytest.raises(SystemExit) as stopped:
        check_options()
    assert message in str(stopped.value.code)  # a text: Python prints it and exits with 1


def test_entries_of_overlays_and_of_an_args_file_are_seen(command, tmp_path):
    args = tmp_path / "args.json"
    args.write_text(json.dumps({"max_epochs": 3, "denoiser_chanels": 1}))
    command("--denoiser_channels", "1", configs=("train", "train_single_channel"))
    check_options()
    command("--denoiser_channels", "1", "--args_file", str(args), configs=("train", "train_single_channel"))
    with pytest.raises(SystemExit, match="--denoiser_chanels is unknown: did you mean --denoiser_channels"):
        check_options()


@pytest.mark.parametrize("words", [["pytest", "run", "--stpes", "9"], [program.__file__, "download", "--nmae", "x"]])
def test_other_programs_and_commands_are_left_alone(monkeypatch, words):
    monkeypatch.setattr(sys, "argv", words)
    assert given_options() == {}
    check_options()
