"""The resource quota controller: what of every quota is used."""
