"""The tree below ``kctl rollout``."""

from __future__ import annotations

from kubelab.kctl.command import Command, CommandEntry

ROLLOUT = Command(
    "rollout",
    children=(
        CommandEntry("history", "View rollout history", "rollout.history:HISTORY"),
        CommandEntry("pause", "Mark the provided resource as paused", "rollout.changing:PAUSE"),
        CommandEntry("restart", "Restart a resource", "rollout.changing:RESTART"),
        CommandEntry("resume", "Resume a paused resource", "rollout.changing:RESUME"),
        CommandEntry("status", "Show the status of the rollout", "rollout.status:STATUS"),
        CommandEntry("undo", "Undo a previous rollout", "rollout.undo:UNDO"),
    ),
    about="""\
Manage the rollout of one or many resources.

 Valid resource types include:

  *  deployments
  *  daemonsets
  *  statefulsets""",
    examples="""\
# Rollback to the previous deployment
kctl rollout undo deployment/abc

# Check the rollout status of a daemonset
kctl rollout status daemonset/foo

# Restart a deployment
kctl rollout restart deployment/abc

# Restart deployments with the 'app=nginx' label
kctl rollout restart deployment --selector=app=nginx
""",
    usage="kctl rollout SUBCOMMAND",
)
