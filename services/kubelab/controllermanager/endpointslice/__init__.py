"""The endpoint slice controller: the endpoints of services, a hundred in a slice."""
