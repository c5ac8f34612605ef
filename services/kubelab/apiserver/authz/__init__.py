"""Who may do what: the roles and bindings, and the Node authoriser."""
