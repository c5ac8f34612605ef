"""Image builds from a Dockerfile."""
