"""Who calls, what a request does, and what a caller may do: users by certificate, attributes, roles."""
