"""A policy as a file from anywhere: read with care, and asked for actions."""
