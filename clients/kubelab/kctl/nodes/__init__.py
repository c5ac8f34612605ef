"""``kctl cordon``, ``uncordon``, ``drain`` and ``taint``: nodes and the pods on them."""
