"""rbac.authorization.k8s.io: what rules allow, which rules cover others, how roles are reconciled. Pure."""
