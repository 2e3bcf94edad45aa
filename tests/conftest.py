"""What all tests share; being here, it also lets them import their common modules (`tiny`)."""
