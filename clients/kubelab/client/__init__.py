"""The client library: calls, kubeconfig, informers, work queue, leader election, events."""
