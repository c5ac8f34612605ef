"""What the api-server says about itself: its groups and resources (discovery), and their schemas (OpenAPI).

All of it follows from the registry of resources and the contract's descriptors. ``groups`` and ``subresources`` read
the registry, ``documents`` and ``openapi`` write the documents, ``published`` keeps them until the registry changes.
"""
