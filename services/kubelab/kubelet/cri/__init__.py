"""The container runtime, seen from the kubelet: calls, what they answer, and their records."""
