"""A turn and what goes with it: commands, system rows, notes, and who is being answered."""
