"""What clients and servers share to handle objects: manifests, labels, quantities, errors, the table of kinds."""
