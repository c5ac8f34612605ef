"""``kctl rollout``: follows, undoes, pauses and restarts the rollouts of workloads."""
