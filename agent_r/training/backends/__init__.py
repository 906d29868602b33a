"""Where fine-tuning jobs run: one protocol, one driver, and a module for each back end."""
