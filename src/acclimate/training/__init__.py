"""From a warm start to a trained model."""
