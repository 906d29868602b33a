"""The held-out measurement, and the report of a run."""
