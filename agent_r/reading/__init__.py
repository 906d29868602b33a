"""Read an actor's replies: find the action, and split off the reasoning."""
