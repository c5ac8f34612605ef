"""Errors cross gRPC and come back as what they were."""

from __future__ import annotations

import grpc
import pytest

from kubelab.apimachinery import errors, grpcstatus
from kubelab.apimachinery.errors import ApiError, Cause


def kinds(of: type[ApiError] = ApiError) -> list[type[ApiError]]:
    below = of.__subclasses__()
    return [*below, *(kind for sub in below for kind in kinds(sub))]


def as_rpc_error(err: ApiError) -> grpc.aio.AioRpcError:
    code, _, metadata = grpcstatus.to_rpc(err)
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*metadata), details=err.message)


def test_every_error_has_a_code_and_a_reason_of_its_own() -> None:
    assert set(grpcstatus.CODES) == set(kinds())
    assert {kind.reason for kind in kinds()} == set(errors.BY_REASON)
    assert len({kind.reason for kind in kinds()}) == len(kinds())


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_there_and_back(kind: type[ApiError]) -> None:
    sent = kind("so it is", name="web", kind="pods", causes=[Cause("spec", "is odd")], retry_after_seconds=3)
    got = grpcstatus.from_rpc(as_rpc_error(sent))
    assert type(got) is kind
    assert got.to_status() == sent.to_status()


def test_a_bare_code_gives_the_nearest_type() -> None:
    bare = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details="gone")
    assert isinstance(grpcstatus.from_rpc(bare), errors.Unavailable)
    unknown = grpc.aio.AioRpcError(grpc.StatusCode.DATA_LOSS, grpc.aio.Metadata(), grpc.aio.Metadata())
    assert isinstance(grpcstatus.from_rpc(unknown), errors.InternalError)


def test_upstream_words() -> None:
    assert str(errors.not_found("pods", "web")) == 'pods "web" not found'
    assert str(errors.already_exists("leases", "x", "coordination.k8s.io")) == (
        'leases.coordination.k8s.io "x" already exists'
    )
    one = errors.invalid("Pod", "web", [Cause("spec.containers", "Required value")])
    assert str(one) == 'Pod "web" is invalid: spec.containers: Required value'
    two = errors.invalid("Pod", "web", [Cause("a", "x"), Cause("b", "y")])
    assert str(two) == 'Pod "web" is invalid: [a: x, b: y]'


def test_what_no_caller_would_take_is_cut() -> None:
    causes = [Cause(f"spec.containers[{n}].name", "x" * 100) for n in range(10_000)]
    back = grpcstatus.from_rpc(as_rpc_error(errors.invalid("Pod", "web", causes)))
    assert isinstance(back, errors.Invalid)
    assert 1000 < len(back.causes) < len(causes)
    assert back.causes[-1].message == f"… and {len(causes) - len(back.causes) + 1} more"
    assert len(back.message) < grpcstatus.MAX_TEXT + 100
    assert back.message.endswith(" more characters")
    assert sum(len(value) for _, value in grpcstatus.to_rpc(errors.invalid("Pod", "web", causes))[2]) < 2**21
