"""All that decides in an agent as one graph, and what it is held to before it is written."""
