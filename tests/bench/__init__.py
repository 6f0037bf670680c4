"""Benchmarks on the real control plane: `make bench`, or `make bench ONLY=spine` for one."""
