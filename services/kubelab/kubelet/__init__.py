"""The kubelet: runs the pods of its node through a CRI runtime and reports on them."""
