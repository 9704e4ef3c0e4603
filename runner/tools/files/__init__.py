"""Reading, writing and changing files: the agent's hands (R-253, R-254)."""
