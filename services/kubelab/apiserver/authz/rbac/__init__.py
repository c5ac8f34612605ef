"""Roles and bindings decide: their index, the default ones and their reconciliation."""
