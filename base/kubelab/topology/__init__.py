"""A cluster on disk and on the wire, for the supervisor and for clients."""
