"""Files of weights: whole or not at all, and only those of the right network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from shared.runs.errors import WeightsError
from shared.runs.weights import load_weights, save_atomically, save_half, sha256


def network(seed: int = 0, width: int = 4) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Conv3d(1, width, 3, padding=1), torch.nn.BatchNorm3d(width))


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.victim),)


def test_sha256_of_known_content(tmp_path: Path):
    file = tmp_path / "abc"
    file.write_bytes(b"abc")
    assert sha256(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_saving_makes_folders_and_leaves_no_temporary_file(tmp_path: Path):
    path = tmp_path / "new" / "model.pt"
    save_atomically({"a": torch.ones(3)}, path)
    assert torch.equal(torch.load(path, weights_only=True)["a"], torch.ones(3))
    assert os.listdir(path.parent) == ["model.pt"]


def test_failed_saving_keeps_the_old_file(tmp_path: Path):
    path = tmp_path / "model.pt"
    save_atomically({"a": torch.ones(3)}, path)
    before = sha256(path)
    with pytest.raises(Exception, match="pickle|local"):
        save_atomically({"a": torch.zeros(3), "b": lambda: None}, path)
    assert sha256(path) == before
    assert os.listdir(tmp_path) == ["model.pt"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_of_any_precision_fill_the_network(tmp_path: Path, dtype: torch.dtype):
    source = network(seed=1)
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in source.state_dict().items()}
    save_atomically(state, tmp_path / "model.pt")
    target = load_weights(network(seed=2), tmp_path / "model.pt")
    assert not target.training
    for name, value in target.state_dict().items():
        assert value.dtype == source.state_dict()[name].dtype
        assert torch.equal(value, source.state_dict()[name].to(dtype).to(value.dtype))


def test_missing_weights(tmp_path: Path):
    with pytest.raises(WeightsError, match=r"model\.pt: weights missing.*train\.json"):
        load_weights(network(), tmp_path / "model.pt")


@pytest.mark.parametrize(
    "content", [b"", b"<!doctype html><title>Log in</title>", b"version https://git-lfs.github.com"]
)
def test_files_that_are_no_weights(tmp_path: Path, content: bytes):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"model\.pt: not a file of weights"):
        load_weights(network(), path)


def test_truncated_weights(tmp_path: Path):
    path = tmp_path / "model.pt"
    save_atomically(network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(WeightsError, match="not a file of weights"):
        load_weights(network(), path)


@pytest.mark.parametrize("content", [[1, 2], torch.ones(3), 5])
def test_files_of_something_else(tmp_path: Path, content: object):
    save_atomically(content, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match=r"model\.pt"):
        load_weights(network(), tmp_path / "model.pt")


def test_entries_that_are_no_tensors(tmp_path: Path):
    save_atomically(dict.fromkeys(network().state_dict(), "text"), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match=r"model\.pt"):
        load_weights(network(), tmp_path / "model.pt")


def test_code_in_weights_is_refused(tmp_path: Path):
    victim = tmp_path / "victim"
    torch.save({"0.weight": Malicious(victim)}, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="not a file of weights"):
        load_weights(network(), tmp_path / "model.pt")
    assert not victim.exists()


def test_weights_of_another_network_name_the_entries(tmp_path: Path):
    target, path = network(width=4), tmp_path / "model.pt"
    before = {k: v.clone() for k, v in target.state_dict().items()}
    save_atomically(network(width=8).state_dict(), path)
    with pytest.raises(WeightsError, match=r"6 entries differ, such as 0\.bias, 0\.weight.*network_def"):
        load_weights(target, path)
    save_atomically({**target.state_dict(), "extra": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match="1 entries differ, such as extra"):
        load_weights(target, path)
    state = target.state_dict()
    del state["1.bias"]
    save_atomically(state, path)
    with pytest.raises(WeightsError, match=r"1 entries differ, such as 1\.bias"):
        load_weights(target, path)
    assert all(torch.equal(v, before[k]) for k, v in target.state_dict().items())


def test_half_precision_is_for_floats_alone_and_leaves_the_network_as_it_is(tmp_path: Path):
    source, path = network(), tmp_path / "models" / "model.pt"
    save_half(source, path)
    state = torch.load(path, weights_only=True)
    assert list(state) == list(source.state_dict())
    for name, value in source.state_dict().items():
        assert value.dtype == (torch.int64 if "num_batches" in name else torch.float32)
        assert torch.equal(state[name], value.half() if value.is_floating_point() else value)
        assert state[name].dtype == (torch.int64 if "num_batches" in name else torch.float16)
    assert os.listdir(path.parent) == ["model.pt"]
