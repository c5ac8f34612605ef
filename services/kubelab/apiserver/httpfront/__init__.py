"""The HTTP front: Kubernetes' REST conventions for the endpoints. It frames and decides nothing."""
