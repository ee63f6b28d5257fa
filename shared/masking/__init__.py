"""What IterMask3D hides, and how the hidden region shrinks."""
