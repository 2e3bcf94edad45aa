"""The physical quantities of each kind of environment."""
