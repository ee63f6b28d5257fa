"""TSGM (arXiv 2311.03074): a CycleGAN makes pseudo-pairs, a diffusion draws the healthy brain."""
