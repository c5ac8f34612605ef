"""The endpoints controller: which addresses a service leads to."""
