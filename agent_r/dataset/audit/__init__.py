"""Audit a dataset: what the world's expert says of every step that a row judges, trains or cuts."""
