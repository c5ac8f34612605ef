"""The ``kctl`` command, which feels like kubectl."""
