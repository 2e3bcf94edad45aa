"""SAC, TD3 and DQN on plain perceptrons."""
