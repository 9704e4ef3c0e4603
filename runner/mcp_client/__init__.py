"""Servers of the Model Context Protocol: their processes, connections, tools and results."""
