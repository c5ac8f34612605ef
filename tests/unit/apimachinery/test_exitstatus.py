"""How a command ended, as runtimes, servers and clients tell it to each other."""

from __future__ import annotations

import json

import pytest

from kubelab.apimachinery import exitstatus


@pytest.mark.parametrize("code", [0, 1, 3, 126, 127, 137, 255])
def test_an_exit_code_arrives_as_it_was(code: int) -> None:
    assert exitstatus.exit_code(exitstatus.from_json(exitstatus.to_json(exitstatus.exited(code)))) == code


def test_a_status_is_written_as_upstreams_kubelet_writes_it() -> None:
    assert json.loads(exitstatus.to_json(exitstatus.exited(0))) == {"metadata": {}, "status": "Success"}
    assert json.loads(exitstatus.to_json(exitstatus.exited(3))) == {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": "command terminated with non-zero exit code: exit status 3",
        "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
    }


def test_a_failure_without_an_exit_code_keeps_its_words() -> None:
    told = exitstatus.from_json(exitstatus.to_json(exitstatus.failed("no such file")))
    assert (told.message, exitstatus.exit_code(told)) == ("Internal error occurred: no such file", None)


@pytest.mark.parametrize("text", [b"exec failed", b"[]", b"{}", b'{"status":7}', b'"text"', b"\xff"])
def test_what_is_no_status_is_a_failure_that_says_it(text: bytes) -> None:
    told = exitstatus.from_json(text)
    assert (told.status, exitstatus.exit_code(told)) == ("Failure", None)
    assert text.decode("utf-8", "replace") in told.message
