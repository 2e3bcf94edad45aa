"""What agents lose under attack before and after they were fine-tuned, with and without `smooth`."""
