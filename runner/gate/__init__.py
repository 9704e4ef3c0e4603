"""The scripts of tasks that run before the agent is involved (R-100 to R-105)."""
