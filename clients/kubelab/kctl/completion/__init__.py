"""``kctl completion``: code for shells, and what they ask for, ``kctl __complete WORDS``."""
