"""Stable-Baselines3's parts, as they are built, named and reached."""
