"""The objects of every resource, as etcd has them: each resource has a cache, and one watch of etcd feeds all."""
