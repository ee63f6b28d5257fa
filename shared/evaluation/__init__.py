"""Evaluation: segmentation metrics per volume, detection metrics per case, and their intervals over cases."""
