"""``kctl config``: shows kubeconfig files, and changes them by kubectl's rules."""
