"""The only modules of the core that touch the outside: HTTP, files, processes, weights."""
