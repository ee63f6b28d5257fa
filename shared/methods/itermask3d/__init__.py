"""IterMask3D (arXiv 2504.04911): hide the brain, reconstruct it, shrink the mask to the anomaly."""
