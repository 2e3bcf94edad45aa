"""The benchmark of captured updates says what it needs, and measures where it can."""

from __future__ import annotations

import pytest
import torch
from benchmarks import device

from acclimate.engine.device import engine
from tests.unit.engine.device.emulation import Emulation


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as left:
        device.main([])
    assert left.value.code == 2
    assert device.NO_GPU in capsys.readouterr().err


def test_both_sides_are_trained_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    def emulated(seam: object, stock: type, wanted: str) -> tuple[str, str]:
        if wanted == "sb3":
            return "sb3", "asked for"
        seam.engine, why = engine.proven(seam, stock, Emulation)  # type: ignore[attr-defined, arg-type]
        return "acclimate", why

    monkeypatch.setattr(device, "attach", emulated)
    monkeypatch.setitem(device.CASES, "DQN", device.Case(device.CASES["DQN"].make, 305))
    line = device.measure("DQN", rounds=1, device="cpu")
    assert line.startswith("DQN: SB3 ")
    assert "times as fast (updates captured" in line


def test_what_is_left_to_sb3_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "attach", lambda *args: ("sb3", "it has its reason"))
    assert device.measure("PPO", rounds=1, device="cpu") == "PPO: no comparison: it has its reason"
