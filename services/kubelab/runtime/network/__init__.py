"""Pods' network: devices, addresses, host ports, and rules about what pods send."""
