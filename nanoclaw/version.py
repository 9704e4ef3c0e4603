"""The product's version number: the only place in the code where it stands.

Read by the build from here (pyproject's dynamic version), shown by ``nanoclaw --version`` and in
the status. Imports nothing, so that asking for the version stays fast.
"""

VERSION = "0.1.0"
