"""What clients and servers share about objects: manifests, labels, quantities, errors, the table of kinds."""
