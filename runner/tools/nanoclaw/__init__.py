"""The tools by which an agent writes to people, schedules, asks, and asks the host for changes."""
