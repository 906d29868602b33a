"""What a command prints of its results: rates, tables, and the paths of its files."""
