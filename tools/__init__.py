"""Commands of the collection; each file is run as ``python -m tools.<name>``."""
