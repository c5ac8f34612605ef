"""What the instructions of a Dockerfile say, and what is said about those that cannot be built."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kubelab.runtime.build import instructions as say
from kubelab.runtime.build import mounts, platforms, stages
from kubelab.runtime.build.draft import Draft
from kubelab.runtime.build.errors import BuildError, DockerfileError, SyntaxFault
from kubelab.runtime.build.mounts import Mount
from kubelab.runtime.build.running import command_of
from kubelab.runtime.oci.platforms import machine

WAY_ROUND = "docker save NAME | kubelab image load -"


def parsed(text: str) -> say.Instruction:
    return stages.read(f"FROM a\n{text}", "Dockerfile").stages[0].body[0]


def changed(*texts: str, **more: Any) -> Draft:
    """An image's configuration after instructions."""
    draft = Draft(**more)
    for instruction in stages.read("\n".join(["FROM a", *texts]), "Dockerfile").stages[0].body:
        assert draft.change(instruction)
    return draft


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("RUNN x", "unknown instruction: RUNN (did you mean RUN?)"),
        ("&& x", "unknown instruction: &&"),
        ("X" * 100 + " x", f"unknown instruction: {'X' * 60}…"),
        ("RUN", "RUN requires at least one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("RUN []", "RUN requires at least one argument"),
        ("RUN --mout=x y", "unknown flag: --mout (did you mean mount?)"),
        ("COPY --link=x a b", "expecting boolean value for flag --link, not: x"),
        ("COPY --from a b", "missing a value on flag: --from"),
        ("COPY --from=a --from=b a b", "duplicate flag specified: --from"),
        (
            "COPY a",
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        ("COPY a <<E\nE", "COPY cannot accept a heredoc as a destination"),
        ("COPY <<'a/b' /x\na/b", "COPY cannot make a file of that name from a heredoc"),
        ("CMD [1]", "when using JSON array syntax, arrays must be comprised of strings only"),
        ('CMD ["a\\u0000"]', "a text has a NUL byte"),
        ("SHELL bash -c", "SHELL requires the arguments to be in JSON form"),
        ("SHELL []", "SHELL requires at least one argument"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV A=1 B", 'Syntax error - can\'t find = in "B". Must be of the form: name=value'),
        ("ENV =1", "ENV names can not be blank"),
        ("ARG =1", "ARG names can not be blank"),
        ("VOLUME []", "VOLUME requires at least one argument"),
        ('VOLUME [" "]', "VOLUME specified can not be an empty string"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD RUNN x", "unknown instruction: RUNN (did you mean RUN?)"),
        ("HEALTHCHECK x", 'Unknown type "X" in HEALTHCHECK (try CMD)'),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK --interval=x CMD y", 'time: invalid duration "x"'),
        ("HEALTHCHECK --interval=1ns CMD y", 'Interval "interval" cannot be less than 1ms'),
        ("HEALTHCHECK --retries=-1 CMD y", "--retries cannot be negative (-1)"),
        ("RUN --network=x y", 'unsupported network mode "x"'),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a AS 1x", 'invalid name for build stage: "1x", name can\'t start with a number or contain symbols'),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line_in_buildkits_words(text: str, told: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parsed(text)
    assert str(caught.value) == f"Dockerfile:2: {told}"


@pytest.mark.parametrize(
    "flag", ["RUN --device=x", "RUN --security=insecure", "COPY --parents", "COPY --exclude=x", "ADD --checksum=x"]
)
def test_what_is_not_supported_is_named_with_a_way_round(flag: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parsed(f"{flag} a b")
    assert str(caught.value).startswith(f"Dockerfile:2: {flag.partition('=x')[0]} is not supported")
    assert WAY_ROUND in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "environment"),
    [
        (["ENV A=1 B='two words'"], {"A": "1", "B": "two words"}),
        (["ENV A two words"], {"A": "two words"}),
        (["ENV A=1", "ENV A=2 B=$A C=${A:-x}"], {"A": "2", "B": "1", "C": "1"}),
        (["ARG A=arg", "ENV B=$A", "ENV A=env", "ENV C=$A"], {"B": "arg", "A": "env", "C": "env"}),
        (["ARG A=x B=y", "ENV C=\"$A $B\" D='$A'"], {"C": "x y", "D": "$A"}),
        (["ARG G", "ENV B=$G"], {"B": "global"}),
        (["ARG G=own", "ENV B=$G"], {"B": "own"}),
        (["ENV B=[$G]"], {"B": "[]"}),
        (["ARG GIVEN=x", "ENV B=$GIVEN"], {"B": "given"}),
        (["ARG TARGETARCH TARGETOS", "ENV B=$TARGETOS/$TARGETARCH"], {"B": str(machine())}),
    ],
)
def test_variables_of_a_stage(texts: list[str], environment: dict[str, str]) -> None:
    known = {"G": "global", **platforms.arguments()}
    assert changed(*texts, globals=known, given={"GIVEN": "given"}).environment == environment


def test_proxies_reach_run_without_being_declared_and_do_not_count_for_the_cache() -> None:
    given = {"http_proxy": "http://proxy", "OTHER": "x"}
    assert Draft(given=given).run_variables() == ({"http_proxy": "http://proxy"}, frozenset({"http_proxy"}))
    declared = changed("ARG http_proxy", given=given)
    assert declared.run_variables() == ({"http_proxy": "http://proxy"}, frozenset())


def test_what_an_image_says_about_its_process() -> None:
    config = changed(
        'LABEL a=1 "b c"=d',
        "EXPOSE 80 81-82/udp $PORT",
        "USER ${WHO:-app}:staff",
        'SHELL ["/bin/bash", "-c"]',
        "CMD run $PORT",
        "ENTRYPOINT start",
        "STOPSIGNAL 9",
        "VOLUME /a /b",
        'HEALTHCHECK --interval=1m30s --timeout=0.5s --retries=2 CMD ["check"]',
        "MAINTAINER me",
        environment={"PORT": "90"},
    ).config
    assert config == {
        "Labels": {"a": "1", "b c": "d"},
        "ExposedPorts": {"80/tcp": {}, "81/udp": {}, "82/udp": {}, "90/tcp": {}},
        "User": "app:staff",
        "Shell": ["/bin/bash", "-c"],
        "Cmd": ["/bin/bash", "-c", "run $PORT"],
        "Entrypoint": ["/bin/bash", "-c", "start"],
        "StopSignal": "9",
        "Volumes": {"/a": {}, "/b": {}},
        "Healthcheck": {"Test": ["CMD", "check"], "Interval": 90 * 10**9, "Timeout": 5 * 10**8, "Retries": 2},
    }


def test_an_entrypoint_takes_the_base_images_command_away_but_not_its_own() -> None:
    assert "Cmd" not in changed('ENTRYPOINT ["e"]', config={"Cmd": ["of base"]}).config
    assert changed('CMD ["c"]', 'ENTRYPOINT ["e"]').config["Cmd"] == ["c"]


@pytest.mark.parametrize(
    ("workdir", "path", "expected"),
    [
        ("", "a", "/a"),
        ("/w", "a/../b/", "/w/b/"),
        ("/w", "../../..", "/"),
        ("/w", "/", "/"),
        ("/w", "//x", "/x"),
        ("/w", ".", "/w"),
    ],
)
def test_paths_are_relative_to_the_working_directory(workdir: str, path: str, expected: str) -> None:
    assert Draft(config={"WorkingDir": workdir}).in_workdir(path) == expected


@pytest.mark.parametrize(
    ("text", "arguments", "script"),
    [
        ("RUN a && b", ["sh", "a && b"], None),
        ('RUN ["a", "b c"]', ["a", "b c"], None),
        ("RUN [ -f x ] && y", ["sh", "[ -f x ] && y"], None),
        ("RUN <<E\na\nb\nE", ["sh", "a\nb\n"], None),
        ("RUN <<-E\n\ta\nE", ["sh", "a\n"], None),
        ("RUN cat <<E | x\na\nE", ["sh", "cat <<E | x\na\nE"], None),
        ("RUN <<E\n#!/usr/bin/env python3\nx\nE", ["/dev/pipes/script"], ("script", "#!/usr/bin/env python3\nx\n")),
    ],
)
def test_what_run_runs(text: str, arguments: list[str], script: tuple[str, str] | None) -> None:
    instruction = parsed(text)
    assert isinstance(instruction, say.Run)
    assert command_of(instruction, ["sh"]) == (arguments, script)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("target=/x", Mount("bind", target="/x", read_only=True)),
        ("type=bind,from=s,src=a,dst=/x,rw", Mount("bind", target="/x", source="a", stage="s")),
        ("type=cache,destination=/x,id=$A,sharing=locked,mode=0700,uid=1,gid=2", Mount(
            "cache", target="/x", name="one", sharing="locked", mode=0o700, uid=1, gid=2)),
        ("type=cache,target=/x,ro=true", Mount("cache", target="/x", read_only=True)),
        ('type=cache,"target=/with,comma"', Mount("cache", target="/with,comma")),
        ("type=tmpfs,target=/x,size=1.5m", Mount("tmpfs", target="/x", size=3 << 19)),
        ("type=secret,id=key,required,env=KEY", Mount(
            "secret", name="key", required=True, environment="KEY", read_only=True)),
    ],
)  # fmt: skip
def test_mounts_of_run(text: str, expected: Mount) -> None:
    assert mounts.parse(text, lambda word: word.replace("$A", "one")) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "target is required"),
        ("type=x", 'unsupported mount type "x"'),
        ("type=ssh", "RUN --mount=type=ssh is not supported"),
        ("type=cache", "target is required"),
        ("target=/x,foo=1", "unexpected key 'foo' for mount type 'bind'"),
        ("target=/x,source", "invalid field 'source' must be a key=value pair"),
        ("type=cache,target=/x,sharing=x", 'unsupported sharing value "x"'),
        ("type=cache,target=/x,mode=9", "invalid value 9 for mode"),
        ("type=cache,target=/x,uid=" + "9" * 40, "for uid"),
        ("type=tmpfs,target=/x,size=x", "invalid value for size: x"),
        ("type=secret", "invalid secret mount"),
        ('"target=/x', "failed to parse csv mounts"),
        ("target=/x\ntarget=/y", "failed to parse csv mounts"),
    ],
)
def test_mounts_that_cannot_be(text: str, told: str) -> None:
    with pytest.raises(SyntaxFault, match=re.escape(told)):
        mounts.parse(text, lambda word: word)


def needed(text: str, target: str = "") -> list[int]:
    dockerfile = stages.read(text, "Dockerfile")
    dockerfile.resolve(dockerfile.global_values({}, {}))
    return [stage.index for stage in dockerfile.needed(dockerfile.target(target))]


STAGES = """\
ARG B=b
FROM x AS a
FROM a AS b
FROM x AS c
COPY --from=A / /
FROM ${B}
RUN --mount=from=c,target=/c x
FROM y
"""


@pytest.mark.parametrize(
    ("target", "expected"), [("", [4]), ("3", [0, 1, 2, 3]), ("C", [0, 2]), ("b", [0, 1]), ("a", [0])]
)
def test_only_stages_that_the_target_needs_are_built(target: str, expected: list[int]) -> None:
    assert needed(STAGES, target) == expected


@pytest.mark.parametrize(
    ("text", "target", "told"),
    [
        ("FROM x", "no", 'Dockerfile: target stage "no" could not be found'),
        ("FROM x\nCOPY --from=0 a b", "", "Dockerfile:2: invalid stage index 0"),
        ("FROM x\nRUN --mount=from=$X,target=/x y", "", "Dockerfile:2: 'from' doesn't support variable expansion"),
        ("FROM $X", "", "Dockerfile:1: base name ($X) should not be blank"),
        ("ARG A=${B:?no}\nFROM x", "", "Dockerfile:1: B: no"),
        ("RUN x", "", "Dockerfile:1: expected FROM, got RUN: no build stage in current context"),
        ("ARG A", "", "Dockerfile: dockerfile contains no stages to build"),
    ],
)
def test_stages_that_cannot_be(text: str, target: str, told: str) -> None:
    with pytest.raises(BuildError) as caught:
        needed(text, target)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    "text", ["", str(machine()), machine().architecture, "linux", f"LINUX/{machine().architecture}"]
)
def test_the_machines_own_platform(text: str) -> None:
    platforms.check(text)


@pytest.mark.parametrize("text", ["linux/s390x", "windows", "linux/amd64/v1/x", "a b", "linux/", f"{machine()}/v9"])
def test_platforms_that_cannot_be_built_for(text: str) -> None:
    with pytest.raises(SyntaxFault):
        platforms.check(text)
