"""What all tests share; being here, it also lets them import from ``tests``."""

import os
import tempfile

# A kernel that somebody has built for themselves is not what is tested; unit/engine/test_native.py builds its own.
os.environ.setdefault("ACCLIMATE_CACHE", os.path.join(tempfile.gettempdir(), "acclimate-tests-have-no-kernel"))
