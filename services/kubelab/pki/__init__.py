"""The cluster's certificate authority and one certificate per identity."""
