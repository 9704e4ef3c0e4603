"""What host and runner agree on: two SQLite files per session and everything inside them.

Imported by ``nanoclaw`` (host) and ``runner`` (agent container); imports the standard library
only and nothing of ours. The SQL of both sides of each file stands here, so that writer and
reader cannot drift apart. Public modules: version, layout, config, content, actions, stored,
address, commands, clock, ids, jsontext, exits, errors, watch, inbound.*, outbound.*.
"""
