"""Sets of fields, as managedFields and server-side apply have them: read, written, compared, merged.

https://kubernetes.io/docs/reference/using-api/server-side-apply/; upstream: ``sigs.k8s.io/structured-merge-diff``.
"""
