"""``inbound.db``: written by the host only, read by the runner through a read-only mount.

Public modules: row (values), schema, upgrade, writer (host), reader (runner).
"""
