"""One file per paper: each composes the parts of the ground floor into what a MONAI workflow calls."""
