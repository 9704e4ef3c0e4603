"""The tool by which an agent opens one of its skills."""
