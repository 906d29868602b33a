"""Loopback servers, worlds and builders that tests and benchmarks share."""
