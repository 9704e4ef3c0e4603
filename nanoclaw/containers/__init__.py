"""Agents' containers: what they are made of, and the runtimes that start them.

``spec`` and ``docker_body`` are pure; ``docker_runtime`` is the only module that imports the Docker
SDK; ``process_runtime`` runs the same runner as a child process without a sandbox. ``payload``,
``materialize`` and ``group_folder`` prepare what is mounted. Decides nothing about when; that is
``nanoclaw.sweep``.
"""
