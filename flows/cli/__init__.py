"""The command line: `agent-r`."""
