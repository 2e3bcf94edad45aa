"""Agents that are no plain perceptrons, run by their own modules."""
