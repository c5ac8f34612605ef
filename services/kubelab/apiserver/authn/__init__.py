"""Authentication: who sends a request, by client certificate or bearer token, and for whom it speaks."""
