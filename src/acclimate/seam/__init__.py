"""Where methods are let into the training of an algorithm."""
