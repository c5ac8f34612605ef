"""The base ``host`` in the place of an official image that has more than the machine's own programs.

``--base python:3.7=host``: official Python images have ``python``, ``pip`` and a site-packages folder that can be
written, in ``/usr/local`` (https://github.com/docker-library/docs/tree/master/python). Debian's own Python has neither
``python`` nor a site-packages folder for pip (PEP 668), so the base gets an environment (``python3 -m venv``) there.
"""

from __future__ import annotations

from kubelab.apimachinery import references

# A machine whose Python is in /usr/local already has what the official image has, but for the short names.
_PYTHON = """\
RUN set -e; \\
    prefix=$(python3 -c 'import sys; print(sys.base_prefix)'); \\
    if [ "$prefix" = /usr/local ]; then \\
        test -e /usr/local/bin/python || ln -s python3 /usr/local/bin/python; \\
        test -e /usr/local/bin/pip || python3 -m ensurepip; \\
        test -e /usr/local/bin/pip || ln -s pip3 /usr/local/bin/pip; \\
    else \\
        python3 -m venv /usr/local; \\
    fi
"""
_STEPS = {"docker.io/library/python": (_PYTHON, "ENV LANG=C.UTF-8", 'CMD ["python3"]')}


def steps(reference: str) -> tuple[str, ...]:
    """Give the instructions that make ``host`` what the image of this name is to builds on it; most images need none."""
    try:
        name = references.parse(reference)
    except references.BadReference:
        return ()
    return _STEPS.get(name.name, ())
