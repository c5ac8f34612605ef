"""``kctl create cronjob``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubelab.api.batch.v1 import batch_pb2
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import GENERATE_FLAGS, GenerateOptions
from kubelab.kctl.create.generated import create_one
from kubelab.kctl.create.job import name_and_command
from kubelab.kctl.flags import Flag
from kubelab.kctl.session import Session


@dataclass(frozen=True, slots=True)
class CronJobOptions(GenerateOptions):
    image: str
    restart: str
    schedule: str


def cron_job(
    name: str, *, image: str, schedule: str, restart: str = "", command: Sequence[str] = ()
) -> batch_pb2.CronJob:
    """Make the CronJob of ``kctl create cronjob``."""
    obj = batch_pb2.CronJob()
    obj.metadata.name = obj.spec.jobTemplate.metadata.name = name
    obj.spec.schedule = schedule
    pod = obj.spec.jobTemplate.spec.template.spec
    pod.restartPolicy = restart or "OnFailure"
    pod.containers.add(name=name, image=image, command=command)
    return obj


def _create_cron_job(session: Session, args: tuple[str, ...], options: CronJobOptions) -> int:
    name, command = name_and_command(session, args)
    made = cron_job(name, image=options.image, schedule=options.schedule, restart=options.restart, command=command)
    return create_one(
        session,
        made,
        options,
        failing=lambda message: f"error: failed to create cronjob: {message}",
    )


CRON_JOB = Command(
    "cronjob",
    run=_create_cron_job,
    options=CronJobOptions,
    flags=(
        *GENERATE_FLAGS,
        Flag("--image", required=True, help="Image name to run."),
        Flag("--restart", help="job's restart policy. supported values: OnFailure, Never"),
        Flag("--schedule", required=True, help="A schedule in the Cron format the job should be run with."),
    ),
    about="Create a cron job with the specified name.",
    examples="""\
# Create a cron job
kctl create cronjob my-job --image=kubelab/hello:v-1.0.0 --schedule="*/1 * * * *"

# Create a cron job with a command
kctl create cronjob my-job --image=kubelab/hello:v-1.0.0 --schedule="*/1 * * * *" -- date
""",
    usage="kctl create cronjob NAME --image=image --schedule='0/5 * * * ?' -- [COMMAND] [args...] [flags]",
)
