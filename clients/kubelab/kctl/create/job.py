"""``kctl create job``: from an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubelab.api.batch.v1 import batch_pb2
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import DRY_RUN, OUTPUT, CreateOptions
from kubelab.kctl.create.generated import create_one
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.printers import ResultPrinter
from kubelab.kctl.session import Session


@dataclass(frozen=True, slots=True)
class JobOptions(CreateOptions):
    image: str


def job(name: str, *, image: str, command: Sequence[str] = ()) -> batch_pb2.Job:
    """Make the Job of ``kctl create job``."""
    obj = batch_pb2.Job()
    obj.metadata.name = name
    pod = obj.spec.template.spec
    pod.restartPolicy = "Never"
    pod.containers.add(name=name, image=image, command=command)
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
    if not options.image:
        raise UsageProblem("either --image or --from must be specified")
    return create_one(
        session,
        job(name, image=options.image, command=command),
        ResultPrinter.of(options.output, options.dry_run),
        failing=lambda message: f"error: failed to create job: {message}",
    )


JOB = Command(
    "job",
    run=_create_job,
    options=JobOptions,
    flags=(DRY_RUN, Flag("--image", help="Image name to run."), OUTPUT),
    about="Create a job with the specified name.",
    examples="""\
# Create a job
kctl create job my-job --image=kubelab/hello:v-1.0.0

# Create a job with a command
kctl create job my-job --image=kubelab/hello:v-1.0.0 -- date
""",
    usage="kctl create job NAME --image=image -- [COMMAND] [args...]",
)
