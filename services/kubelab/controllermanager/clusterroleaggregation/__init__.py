"""The aggregation controller: cluster roles that are the union of others."""
