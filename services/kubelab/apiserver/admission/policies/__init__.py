"""ValidatingAdmissionPolicies: expressions that requests must satisfy, evaluated in the api-server."""
