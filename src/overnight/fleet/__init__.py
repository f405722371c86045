"""A project's agents: who they are, what they need to be trained, and in which order they are."""
