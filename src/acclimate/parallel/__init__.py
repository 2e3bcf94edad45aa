"""Several processes: environments stepped in shares, jobs at once."""
