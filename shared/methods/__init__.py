"""A folder for each paper: what it composes of the other rooms into what a MONAI workflow calls."""
