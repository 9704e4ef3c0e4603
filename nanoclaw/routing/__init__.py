"""The router: what an inbound event leads to, and the redo log that makes it durable.

``facts`` reads, ``decide`` is pure, ``apply`` commits and writes session rows, ``loop`` serves
the socket. Runs in the ``router`` process only.
"""
