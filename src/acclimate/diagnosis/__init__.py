"""What training did to an agent: measurements on tensors, one file for each kind, and apart from them the sentences."""
