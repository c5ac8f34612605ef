"""What may keep a pod from a node, and what makes a node better: one module each."""
