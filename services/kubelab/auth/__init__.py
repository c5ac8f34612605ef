"""Authentication and authorisation: users by certificate, attributes of requests, roles."""
