"""What components share about policy/v1."""
