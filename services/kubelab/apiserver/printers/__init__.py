"""Table rows of the kinds, as ``kubectl get`` prints them."""
