"""What a CRI call answers when it goes wrong: never UNKNOWN or INTERNAL, which are left to bugs."""

from __future__ import annotations

import errno
import os

import pytest
from grpc import StatusCode

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.cgroups.limits import LimitError
from kubelab.runtime.errors import CRIError, code_of, not_found
from kubelab.runtime.pods.containers import log_path


@pytest.mark.parametrize(
    ("err", "code"),
    [
        (LimitError("unified: cpu is not supported"), StatusCode.INVALID_ARGUMENT),
        (not_found("image", "a"), StatusCode.NOT_FOUND),
        (CRIError("crun: it does not start"), StatusCode.FAILED_PRECONDITION),
        (RuntimeError("whatever"), StatusCode.FAILED_PRECONDITION),
        *(
            (OSError(number, ""), StatusCode.RESOURCE_EXHAUSTED)
            for number in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE)
        ),
        *((OSError(number, ""), StatusCode.FAILED_PRECONDITION) for number in (errno.EPERM, errno.ENAMETOOLONG)),
    ],
    ids=repr,
)
def test_codes(err: Exception, code: StatusCode) -> None:
    assert code_of(err) is code


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_no_error_of_the_kernel_counts_as_a_bug(number: int) -> None:
    assert code_of(OSError(number, os.strerror(number))) not in (StatusCode.UNKNOWN, StatusCode.INTERNAL)


@pytest.mark.parametrize(
    ("folder", "path", "found"),
    [
        ("/logs", "main/0.log", "/logs/main/0.log"),
        ("", "main/0.log", ""),
        ("/logs", "", ""),
        ("/logs", "a..b", "/logs/a..b"),
    ],
)
def test_output_goes_below_the_folder_of_the_pod(folder: str, path: str, found: str) -> None:
    assert log_path(cri.PodSandboxConfig(log_directory=folder), cri.ContainerConfig(log_path=path)) == found


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "main/../../0.log", "..", "a\0b"])
def test_output_that_would_go_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"log_path: .*: expected a path below log_directory"):
        log_path(cri.PodSandboxConfig(log_directory="/logs"), cri.ContainerConfig(log_path=path))
