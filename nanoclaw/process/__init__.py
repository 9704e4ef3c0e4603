"""Composition roots: one module per child process, each with ``run(context)``.

Only these modules join objects of different packages. They are imported inside their own process
by ``nanoclaw.daemon``, and together by tests that run several loops in one process.
"""
