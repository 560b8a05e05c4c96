"""Measurements side by side in one run; `make bench` prints them and writes docs/benchmarks.md."""
