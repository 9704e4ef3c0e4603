"""Who may talk to which agent, and who may decide for it."""
