"""Looks the whole installation over: findings, evidence, the exact fix."""
