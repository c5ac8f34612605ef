"""The service account controller: every namespace has the account ``default``."""
