"""A cluster seen from outside: how to find, start, watch and break a local or a compose cluster."""
