"""The number of the contract between host and runner.

Kept in ``PRAGMA user_version`` of both session files. 0 means: written by the earlier TypeScript
program, readable after the lazy upgrade. A higher number than ours is refused (SchemaMismatch).
"""

CONTRACT_VERSION = 1
