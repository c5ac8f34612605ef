"""The verbs without a transport: attributes, authorisation, admission, the call, audit and metrics."""
