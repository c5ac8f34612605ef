"""The local cluster: its network, its processes, restarts."""
