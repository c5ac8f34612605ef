"""Patches: JSON patch, merge patch and strategic merge patch, applied to objects in JSON's types, and made from them.

An object is what ``json.loads`` gives. The functions never change their arguments, and raise
:class:`~kubelab.apimachinery.patch.errors.PatchError` in upstream's words
(https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply).
"""
