"""The terminal channel: JSON lines over ``run/cli.sock``, several clients at once (C 4.1).

``lines`` is the wire format, shared with ``nanoclaw chat``; ``translate`` and ``decide`` are
pure; ``adapter`` owns the socket; ``kept`` holds what no client has confirmed yet.
"""
