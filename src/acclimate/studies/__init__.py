"""Studies: agents, worlds and ways to adapt them, compared cell by cell over seeds."""
