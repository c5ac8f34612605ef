"""The TTL-after-finished controller: Jobs that ended are deleted after their time."""
