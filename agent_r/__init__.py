"""Agent-R: turn an agent's own failed trajectories into data that teaches it to recover."""

__version__ = "0.2.0"
