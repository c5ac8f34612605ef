"""The roles and bindings that every cluster has: upstream's by name and rule, and what kubelab needs besides.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings (upstream:
plugin/pkg/auth/authorizer/rbac/bootstrappolicy).
"""
