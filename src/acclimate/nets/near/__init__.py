"""Observations near those that were made, and what a network makes of them."""
