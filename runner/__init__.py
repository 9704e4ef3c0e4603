"""The agent's program, inside the container.

Started as ``python -P -m runner``. Reads ``in/``, thinks through a provider, writes ``out/``;
everything it shares with the host is in ``contract``, and it never imports the host.
"""
