"""Kinds that CustomResourceDefinitions add: their schemas, their objects, and how a server comes to serve them."""
