"""Where the real scans lie beside this checkout; tests on them are skipped where they are absent."""

from __future__ import annotations

import pytest

from tests.helpers.paths import ROOT

DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")
