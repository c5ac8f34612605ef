"""The endpoint slice mirroring controller: slices of Endpoints that people and other programs write."""
