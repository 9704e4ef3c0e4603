"""The router: what an inbound event leads to, and the redo log that makes it durable.

``facts`` reads, ``decide`` (with ``engage`` and ``gate``) is pure, ``apply`` and ``verdicts``
commit, ``writing`` brings rows and files into session folders, ``loop`` serves the socket. Runs in
the ``router`` process only.
"""
