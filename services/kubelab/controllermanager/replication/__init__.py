"""The replication manager: the ReplicaSet controller, for ReplicationControllers."""
