"""Who acts: the actor is opened, tried, and told from the one before."""
