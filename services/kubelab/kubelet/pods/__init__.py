"""Pods: a worker for each, its phases and its plan, the node's admission, what is told of them."""
