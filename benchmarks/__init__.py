"""Strongbax beside its peers: the same work, the same data, the same disk, in one run.

`python -m benchmarks` prints one table; a file here measures one family of rows. Nothing in it is a test:
times are measured, never asserted.
"""
