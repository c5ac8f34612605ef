"""Admission webhooks: programs outside of the api-server that look at writes, and change or refuse them."""
