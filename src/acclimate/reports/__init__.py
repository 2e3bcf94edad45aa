"""A run's findings, and the pages that tell them."""
