"""``kctl create job``: from an image, or from a cron job's template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubelab.api.batch.v1 import batch_pb2
from kubelab.apimachinery.batch.jobs import INSTANTIATE
from kubelab.apimachinery.scheme import CRON_JOBS
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import GENERATE_FLAGS, GenerateOptions
from kubelab.kctl.create.generated import create_one
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.resource import parse
from kubelab.kctl.session import Session


@dataclass(frozen=True, slots=True)
class JobOptions(GenerateOptions):
    from_resource: str
    image: str


def job(name: str, *, image: str, command: Sequence[str] = ()) -> batch_pb2.Job:
    """Make the Job of ``kctl create job``."""
    obj = batch_pb2.Job()
    obj.metadata.name = name
    pod = obj.spec.template.spec
    pod.restartPolicy = "Never"
    pod.containers.add(name=name, image=image, command=command)
    return obj


def job_from(name: str, cron_job: batch_pb2.CronJob) -> batch_pb2.Job:
    """Make a Job as the CronJob would at its next time. The owner reference blocks nothing, as kubectl's does not."""
    template = cron_job.spec.jobTemplate
    obj = batch_pb2.Job(spec=template.spec)
    obj.metadata.name = name
    obj.metadata.labels.update(template.metadata.labels)
    obj.metadata.annotations.update({INSTANTIATE: "manual", **template.metadata.annotations})
    obj.metadata.ownerReferences.add(
        apiVersion=CRON_JOBS.api_version,
        kind=CRON_JOBS.kind,
        name=cron_job.metadata.name,
        uid=cron_job.metadata.uid,
        controller=True,
    )
    return obj


def name_and_command(session: Session, args: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Tell the one NAME from the command, which comes after two dashes."""
    dash = session.line.dash
    names, command = (args, ()) if dash < 0 else (args[:dash], args[dash:])
    if len(names) != 1:
        message = f"exactly one NAME is required, got {len(names)}"
        raise UsageProblem(message, session.command_path, hint="arguments")
    return names[0], command


def _create_job(session: Session, args: tuple[str, ...], options: JobOptions) -> int:
    name, command = name_and_command(session, args)
    if bool(options.image) == bool(options.from_resource):
        raise UsageProblem("either --image or --from must be specified")
    if options.from_resource and command:
        raise UsageProblem("cannot specify --from and command")
    if options.image:
        made = job(name, image=options.image, command=command)
    else:
        made = job_from(name, _cron_job(session, options.from_resource))
    return create_one(
        session,
        made,
        options,
        failing=lambda message: f"error: failed to create job: {message}",
    )


def _cron_job(session: Session, text: str) -> batch_pb2.CronJob:
    """Read the CronJob that ``--from`` names."""
    selection = parse([text])
    [item] = selection.items if len(selection.items) == 1 else [None]
    if item is None or item.name is None or item.resource is not CRON_JOBS:
        raise UsageProblem("from must be an existing cronjob")
    name = item.name
    return session.run(lambda client: client.get(CRON_JOBS, name, session.namespace))


JOB = Command(
    "job",
    run=_create_job,
    options=JobOptions,
    flags=(
        *GENERATE_FLAGS,
        Flag(
            "--from",
            "from_resource",
            default="",
            help="The name of the resource to create a Job from (only cronjob is supported).",
        ),
        Flag("--image", help="Image name to run."),
    ),
    about="Create a job with the specified name.",
    examples="""\
# Create a job
kctl create job my-job --image=kubelab/hello:v-1.0.0

# Create a job with a command
kctl create job my-job --image=kubelab/hello:v-1.0.0 -- date

# Create a job from a cron job named "a-cronjob"
kctl create job test-job --from=cronjob/a-cronjob
""",
    usage="kctl create job NAME --image=image [--from=cronjob/name] -- [COMMAND] [args...]",
)
