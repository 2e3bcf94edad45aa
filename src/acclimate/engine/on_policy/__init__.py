"""PPO and A2C on plain perceptrons."""
