"""The embedded container runtime: a CRI server over crun."""
