"""A guard on trial: faults of sensors, what it makes of them, and how that is told."""
