"""Agents of other frameworks."""
