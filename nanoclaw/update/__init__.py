"""New releases: staged, tried on a copy, switched to, and back when they fail."""
