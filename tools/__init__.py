"""Commands of the collection; each file is run as ``python tools/<name>.py``."""
