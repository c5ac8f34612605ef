"""policy: how many pods may go at once."""
