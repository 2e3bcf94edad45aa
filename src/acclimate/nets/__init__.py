"""A trainable network and what can be asked of it or done to it; torch alone."""
