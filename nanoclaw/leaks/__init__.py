"""Finds the installation's own secrets in what is about to leave it."""
