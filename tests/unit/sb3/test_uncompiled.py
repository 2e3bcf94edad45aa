"""Loading an agent does not import torch's compiler, and what uses the compiler afterwards finds it as ever."""

from __future__ import annotations

import subprocess
import sys


def told(script: str) -> list[str]:
    """Return the words that a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


LOADED = """
import sys
import acclimate as ac
from acclimate.agents import shipped
agent = ac.load(shipped.path("ppo-LunarLander-v3"))
state = agent.model.policy.optimizer.state_dict()
agent.model.policy.optimizer.zero_grad()
print("torch._dynamo" in sys.modules, len(state["state"]) > 0)
"""


def test_an_agent_is_loaded_without_the_compiler() -> None:
    assert told(LOADED) == ["False", "True"]


def test_torch_alone_would_import_it() -> None:
    made = "torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])"
    assert told(f"import sys, torch; {made}; print('torch._dynamo' in sys.modules)") == ["True"]


def test_once_the_compiler_is_there_functions_are_marked_as_torch_marks_them() -> None:
    script = f"""{LOADED}
import torch
import torch._dynamo
made = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])
made.zero_grad()
marked = torch.optim.Optimizer.zero_grad.__wrapped__.__dict__["__dynamo_disable"]
print(getattr(marked, "_torchdynamo_disable", False))
"""
    assert told(script) == ["False", "True", "True"]
