"""Benchmarks: the table of design section 8, measured by ``make bench``."""
