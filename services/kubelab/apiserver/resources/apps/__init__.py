"""The kinds of the group ``apps``, one package each."""
