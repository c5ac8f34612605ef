"""The garbage collector: what is deleted with its owner."""
