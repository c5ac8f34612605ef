"""What a pod's containers have mounted: made before they start, kept current, taken away when the pod is gone."""
