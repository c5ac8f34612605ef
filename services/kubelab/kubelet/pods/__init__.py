"""Pods: a worker for each, its phases and its plan, the node's admission, their status and events."""
