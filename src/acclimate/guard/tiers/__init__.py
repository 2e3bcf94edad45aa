"""What a guard looks for: one kind of strangeness each."""
