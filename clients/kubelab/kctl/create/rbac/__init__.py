"""``kctl create role|clusterrole|rolebinding|clusterrolebinding``."""
