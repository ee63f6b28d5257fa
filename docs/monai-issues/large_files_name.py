"""download_large_files: naming the list, as its documentation shows, fails before anything is downloaded.

`large_file_path` is assigned only where `large_file_name` is None.
Expected: the files of that list are downloaded. Found in 1.6.1: UnboundLocalError.
"""

import json
import tempfile
from pathlib import Path

from monai.bundle import download_large_files

with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "large_files.json").write_text(json.dumps({"large_files": []}))
    try:
        download_large_files(bundle_path=folder, large_file_name="large_files.json")
    except UnboundLocalError as error:
        raise SystemExit(f"FAULT: {error}") from error
