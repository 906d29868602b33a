"""What a person sees of a run in Prefect: its name, its log, its artifacts, its end."""
