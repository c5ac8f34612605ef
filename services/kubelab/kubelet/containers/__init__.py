"""What sandboxes and containers are made from, and how they are started."""
