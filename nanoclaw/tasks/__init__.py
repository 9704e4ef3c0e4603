"""Scheduled tasks: rows of kind ``task`` in session files, their series and their history."""
