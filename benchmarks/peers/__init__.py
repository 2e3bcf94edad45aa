"""What the engine is measured beside: Stable-Baselines3, SBX and loops in the style of CleanRL."""
