"""ScienceWorld, in process."""
