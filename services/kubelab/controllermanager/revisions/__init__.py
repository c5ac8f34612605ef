"""The history of templates, kept as ControllerRevisions by DaemonSets and StatefulSets."""
