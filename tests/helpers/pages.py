"""What a page shows, read again."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image


def pictures(page: str) -> list[np.ndarray]:
    """The PNG files within a page, as arrays."""
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(picture)))) for picture in found]
