"""What client and server know of the kinds of batch/v1."""
