"""Who may do what: the built-in roles and the Node authoriser."""
