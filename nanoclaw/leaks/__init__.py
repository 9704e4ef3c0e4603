"""Finds the owner's own secrets in what leaves the install: ``current`` is the way in."""
