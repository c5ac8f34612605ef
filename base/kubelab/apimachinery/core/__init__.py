"""The rules of the core group, each in one place: QoS class, phases and conditions, requests, references."""
