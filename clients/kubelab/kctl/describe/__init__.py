"""``kctl describe``: one module a kind."""
