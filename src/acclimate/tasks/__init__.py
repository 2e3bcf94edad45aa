"""The world: an environment with its shifts and wrappers."""
