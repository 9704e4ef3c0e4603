"""The command line. ``main`` picks the command and imports only what that one needs."""
