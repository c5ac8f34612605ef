"""``kctl apply``: brings objects to what files say, by a three-way patch of the client's or by the server's apply."""
