"""Agents: held, put together, loaded, described, asked."""
