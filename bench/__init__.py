"""Benchmarks on seeded data, with peers in the same run where one can be had: `make bench`."""
