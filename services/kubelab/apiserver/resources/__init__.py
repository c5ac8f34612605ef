"""The kinds that the api-server serves: a package each, and the table of all."""
