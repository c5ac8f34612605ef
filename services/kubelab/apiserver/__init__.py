"""The api-server: the only component that talks to etcd."""
