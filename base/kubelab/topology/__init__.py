"""A cluster on disk and on the wire, as the supervisor and those who look from outside know it."""
