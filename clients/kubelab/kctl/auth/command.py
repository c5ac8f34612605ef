"""``kctl auth``: the commands below it."""

from __future__ import annotations

from kubelab.kctl.command import Command, CommandEntry

AUTH = Command(
    "auth",
    children=(
        CommandEntry("can-i", "Check whether an action is allowed", "auth.cani:CAN_I"),
        CommandEntry(
            "reconcile",
            "Reconciles rules for RBAC role, role binding, cluster role, and cluster role binding objects",
            "auth.reconcile:RECONCILE",
        ),
        CommandEntry("whoami", "Experimental: Check self subject attributes", "auth.whoami:WHOAMI"),
    ),
    about="Inspect authorization.",
    usage="kctl auth [flags]",
)
