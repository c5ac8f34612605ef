"""The parent of ``kctl set …``."""

from __future__ import annotations

from kubelab.kctl.command import Command, CommandEntry

SET = Command(
    "set",
    children=(
        CommandEntry("env", "Update environment variables on a pod template", "set.env:ENV"),
        CommandEntry("image", "Update the image of a pod template", "set.image:IMAGE"),
        CommandEntry(
            "resources", "Update resource requests/limits on objects with pod templates", "set.resources:RESOURCES"
        ),
        CommandEntry("selector", "Set the selector on a resource", "set.selector:SELECTOR"),
        CommandEntry(
            "serviceaccount",
            "Update the service account of a resource",
            "set.serviceaccount:SERVICE_ACCOUNT",
            aliases=("sa",),
        ),
        CommandEntry(
            "subject",
            "Update the user, group, or service account in a role binding or cluster role binding",
            "set.subject:SUBJECT",
        ),
    ),
    about="Configure application resources.\n\n These commands help you make changes to existing application "
    "resources.",
    usage="kctl set SUBCOMMAND",
)
