"""The deployment controller: one ReplicaSet for each template of a Deployment, and the way from one to the next."""
