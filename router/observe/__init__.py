"""Logging.

structlog takes rich for its tracebacks wherever it finds it, as it does here: the command line
needs it. A router that serves does not, and would hold 4 MB for it; so structlog does not find it.
"""

from __future__ import annotations

import sys

_hides_rich = "rich" not in sys.modules
if _hides_rich:
    sys.modules["rich"] = None  # type: ignore[assignment]  # says "not installed" (PEP 328)
import structlog as _structlog  # noqa: E402, F401

if _hides_rich:
    del sys.modules["rich"]
