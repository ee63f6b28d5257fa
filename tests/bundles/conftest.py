"""A fixture for each bundle of this checkout, and the whole trainings that its tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.helpers.bundle import Bundle
from tests.helpers.whole_trainings import WholeTrainings


@pytest.fixture(scope="session")
def itermask3d() -> Bundle:
    return Bundle(Path("bundles") / "brain_mri_anomaly_itermask3d")


@pytest.fixture(scope="session")
def mmccd() -> Bundle:
    return Bundle(Path("bundles") / "brain_mri_anomaly_mmccd")


@pytest.fixture(scope="session")
def tsgm() -> Bundle:
    return Bundle(Path("bundles") / "brain_mri_anomaly_tsgm")


@pytest.fixture(scope="session")
def macdm() -> Bundle:
    return Bundle(Path("bundles") / "tibia_radiograph_synthesis_macdm")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> WholeTrainings:
    """The trainings of the contract, each run once by all processes of pytest together."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    return WholeTrainings(shared / "whole_trainings")
