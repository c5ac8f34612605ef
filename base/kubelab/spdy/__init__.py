"""SPDY/3.1: several byte streams over one connection, as Kubernetes uses it to forward ports and to run commands."""
