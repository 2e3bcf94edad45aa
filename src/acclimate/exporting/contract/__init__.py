"""What an exported policy expects and does, as data."""
