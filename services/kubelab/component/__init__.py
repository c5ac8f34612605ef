"""What every server has: configuration, TLS, health, metrics, logging, a clean stop."""
