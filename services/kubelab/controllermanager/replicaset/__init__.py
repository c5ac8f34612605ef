"""The ReplicaSet controller: as many pods as a ReplicaSet, or a ReplicationController, asks for."""
