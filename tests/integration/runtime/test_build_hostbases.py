"""The machine in the place of an official image: ``--base python:3.7=host`` has what python:3.7 has."""

from __future__ import annotations

import pytest

from tests.integration.runtime.lab import Lab
from tests.support.wheels import file_name, wheel

pytestmark = pytest.mark.root

DOCKERFILE = """\
FROM python:3.7
COPY dist /dist
RUN python -m pip install --no-index --find-links /dist greeting
RUN python -c 'import greeting, pip; print(greeting.WORDS, greeting.__file__, pip.__file__)' && pip --version
"""
FILES = {f"dist/{file_name('greeting', '1.0')}": wheel("greeting", "1.0", "WORDS = 'hello from a wheel'\n")}


async def test_the_python_base_has_python_pip_and_a_folder_for_packages(lab: Lab) -> None:
    lines = await lab.build(DOCKERFILE, "app", files=FILES, bases={"python:3.7": "host"})
    text = "\n".join(lines)
    assert "# python:3.7: this machine's own programs, completed by 3 steps" in lines
    assert "hello from a wheel /usr/local/lib/python3." in text
    assert "/site-packages/greeting.py" in text
    assert "pip " in text
    again = await lab.build(DOCKERFILE, "app", files=FILES, bases={"python:3.7": "host"})
    assert [line for line in again if line.startswith(" ---> Using cache")]
    assert "hello from a wheel" not in "\n".join(again)


async def test_a_container_of_it_runs_python_without_a_command(lab: Lab) -> None:
    await lab.build("FROM docker.io/library/python:3\nRUN id >/dev/null\n", "bare", bases={"python:3": "host"})
    sandbox = await lab.sandbox("web")
    seen = await lab.output(
        sandbox,
        "look",
        "command -v python; command -v pip; python -c 'import sys; print(sys.prefix)'; echo $LANG",
        image="bare",
    )
    assert seen == "/usr/local/bin/python\n/usr/local/bin/pip\n/usr/local\nC.UTF-8\n"


async def test_other_images_are_the_plain_machine(lab: Lab) -> None:
    lines = await lab.build("FROM node\nRUN ls /usr/local/pyvenv.cfg || true\n", "plain", bases={"node": "host"})
    assert not [line for line in lines if "completed by" in line]
