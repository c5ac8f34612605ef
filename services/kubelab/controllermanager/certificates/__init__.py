"""Controllers of certificate signing requests: approving, signing, cleaning up."""
