"""Rules that several parts of the host ask, as pure decisions."""
