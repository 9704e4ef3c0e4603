"""Agents among themselves: messages, creation, their own configuration."""
