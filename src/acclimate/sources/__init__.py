"""Readers of agents: one module per kind of file, none of which executes what it reads."""
