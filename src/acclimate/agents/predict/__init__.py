"""The short way from observations to actions."""
