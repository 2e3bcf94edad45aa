"""What the user wants, what a probe finds, and the warm start that follows."""
