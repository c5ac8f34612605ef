"""The node agent's service without the machine around it: ``python -m tests.fuzz.agent --config FILE``."""

from __future__ import annotations

import sys

from kubelab.nodeagent.agent import COMPONENT

if __name__ == "__main__":
    sys.exit(COMPONENT.main())
