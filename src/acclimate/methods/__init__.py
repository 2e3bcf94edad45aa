"""Fine-tuning methods, one file each; names resolve through `acclimate.registry.METHODS`."""
