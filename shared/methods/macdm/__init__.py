"""MaC-DM (arXiv 2311.13688): draw radiographs with and without fracture, with their masks."""
