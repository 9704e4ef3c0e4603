"""The owner's secrets: ``store`` is the way in, ``backends`` are where values lie."""
