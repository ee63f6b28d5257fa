"""MMCCD (arXiv 2308.16150): translate a sequence to another and back under moving masks."""
