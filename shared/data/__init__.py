"""Reading, checking, simulating and writing images."""
