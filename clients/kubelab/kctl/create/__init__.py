"""``kctl create``: from files, or from flags (``create service``, ``create namespace``)."""
