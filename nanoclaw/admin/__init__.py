"""The administration socket: frames, dispatch and server, for ``ncl`` on this machine."""
