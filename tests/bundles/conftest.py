"""A fixture for each bundle of this checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.bundle import Bundle


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
