"""The controllers, one package each, and the process that runs them."""
