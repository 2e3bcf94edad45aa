"""What the driver does while SB3 trains: one callback, one duty."""
