"""What tools may do with the session files: read the turn's facts, write rows, wait for answers."""
