"""Translation between sequences: the cycles of MMCCD."""
