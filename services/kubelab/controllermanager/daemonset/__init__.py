"""The DaemonSet controller: one pod on every node that the template fits."""
