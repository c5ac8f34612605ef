"""Objects read and written, for every resource alike; what differs is the resource's storage and strategy."""
