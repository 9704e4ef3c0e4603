"""The host: supervisor, its child processes, and the command line."""
