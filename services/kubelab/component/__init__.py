"""The parts that every server shares: configuration, TLS, health, metrics, logging, a clean stop."""
