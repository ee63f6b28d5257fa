"""Radiographs: reading and checking them, transforms, label maps, generated masks."""
