"""The agent's shell: one bash that keeps its state, and commands in the background."""
