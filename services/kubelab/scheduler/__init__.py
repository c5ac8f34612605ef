"""The scheduler: chooses a node for every pod."""
