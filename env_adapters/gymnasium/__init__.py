"""Gymnasium-style environments whose observations are text."""
