"""OCI and Docker images: archives, layouts, layers."""
