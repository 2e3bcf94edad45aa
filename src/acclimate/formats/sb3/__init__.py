"""Stable-Baselines3's zip and what lies beside it."""
