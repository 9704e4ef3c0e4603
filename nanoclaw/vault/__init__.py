"""The vault, the agents' only way out: tokens, policy, keys, budgets, answers passed through."""
