"""The horizontal pod autoscaler: replicas within their bounds."""
