"""The dataset card: its page, its sections, its pictures."""
