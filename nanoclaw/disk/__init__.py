"""What takes space on the disk, and what may go."""
