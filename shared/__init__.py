"""The one Python package behind every bundle of this project."""
