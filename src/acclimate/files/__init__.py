"""What is written whole or not at all, and read without executing anything."""

from acclimate.files.atomic import atomic_folder, recover_folder, write_atomic

__all__ = [
    "atomic_folder",
    "recover_folder",
    "write_atomic",
]
