"""Finding files by name and by content, with ripgrep or without (R-255)."""
