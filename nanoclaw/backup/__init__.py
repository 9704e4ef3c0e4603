"""Backups of a running installation, and the proof that they can be restored."""
