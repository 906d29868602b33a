"""Prefect flows: one file each, named like its deployment; and the command line over them."""
