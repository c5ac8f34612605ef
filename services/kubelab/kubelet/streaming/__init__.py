"""What an api-server asks of a kubelet: logs and the records of its CRI calls."""
