"""One fine-tuning from the call to the folder."""
