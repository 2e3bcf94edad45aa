"""Networks of tests have the same weights in whatever order tests are run."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Draw weights from one seed."""
    torch.manual_seed(0)
