"""``kctl get``: its command line, what it asks the server for, and how that is printed once or as it changes."""
