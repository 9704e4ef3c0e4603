"""Starts, watches, restarts and stops the host's child processes.

``state`` decides (pure), ``supervisor`` acts, ``worker_process`` is one running child seen from
outside, ``child`` is the same child seen from inside. Nothing here opens a database or a network
connection.
"""
