"""What the world itself proves of a step, by replay: no model is asked."""
