"""The gRPC front: it frames requests and answers for the endpoints, and decides nothing."""
