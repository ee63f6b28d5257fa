"""Brain scans: reading and checking them, the check at the door, transforms, slices."""
