"""``outbound.db``: written by the runner only; the host reads it as a checked snapshot.

Public modules: row (values), schema, writer and reader (runner), snapshot (host).
"""
