"""Evaluation: segmentation metrics per volume, detection metrics per case, and bootstrap intervals over cases."""
