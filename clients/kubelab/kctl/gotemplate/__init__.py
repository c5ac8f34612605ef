"""Go's templates (https://pkg.go.dev/text/template) over documents as JSON has them, for ``-o go-template``.

All actions, variables, pipelines and functions of the language are there but ``call``, which no document can use, and
kubectl's ``exists`` and ``base64decode``. There is no kept Python library for this language.
"""

from __future__ import annotations

from kubelab.kctl.gotemplate.execute import GoTemplate
from kubelab.kctl.gotemplate.nodes import TemplateError

__all__ = ["GoTemplate", "TemplateError"]
