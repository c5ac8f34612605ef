"""Objects in etcd: transactions, encoding, leases, and the same in memory for tests."""
