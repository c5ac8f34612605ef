"""The StatefulSet controller: pods with names that stay, made and ended in their order."""
