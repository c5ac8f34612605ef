"""``kctl auth``: who the user is and what they may do."""
