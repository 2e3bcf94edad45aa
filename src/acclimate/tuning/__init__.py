"""A method's contract, several of them as one, and the tuner that runs them."""
