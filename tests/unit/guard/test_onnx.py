"""The filter exports as it is, and onnxruntime gives the same flags, scores and state."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from acclimate.guard.filter import Filter
from acclimate.guard.fitting import fit
from acclimate.guard.guard import Guard
from acclimate.guard.inside import Inside
from acclimate.guard.release import Release
from tests import tiny
from tests.unit.guard.test_filter import disturbed
from tests.unit.guard.world import ALL, agent, fitted, random_world

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
runtime: Any = pytest.importorskip("onnxruntime")


class Flat(nn.Module):
    """A filter and a release with the state as single tensors."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self.filter: Filter = guard.filter
        self.release: Release = guard.release
        self.names = list(guard.initial(1))

    def forward(self, rows: Tensor, reset: Tensor, latent: Tensor, proposed: Tensor, *state: Tensor) -> Any:
        held = dict(zip(self.names, state, strict=True))
        last = torch.where(reset[:, None], self.release.safe, held.pop("action"))
        clean, flags, scores, after = self.filter(rows, held, reset, latent)
        taken, mended = self.release(proposed, after["refusing"], last)
        after |= {"action": taken}
        return (clean, flags, scores, mended, *(after[name] for name in self.names))


def exported(flat: Flat, example: tuple[Tensor, ...], path: Path) -> Any:
    """Return a session; the batch is dynamic, and each example is a tensor of its own."""
    batch = {0: torch.export.Dim("batch")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            flat,
            example,
            dynamic_shapes=(batch, batch, batch, batch, tuple(batch for _ in flat.names)),
            input_names=["rows", "reset", "latent", "proposed", *flat.names],
            output_names=["clean", "flags", "scores", "mended", *(f"next_{name}" for name in flat.names)],
            dynamo=True,
            verbose=False,
            external_data=False,
        )
    program.save(path)  # type: ignore[union-attr]
    return runtime.InferenceSession(path, providers=["CPUExecutionProvider"])


def compared(guard: Guard, steps: Tensor, resets: Tensor, latents: Any, path: Path) -> np.ndarray:
    """Run both over episodes, and return how often each flag was raised."""
    flat, rows = Flat(guard), steps.shape[1]
    state, raised = guard.initial(rows), []
    actions = len(guard.release.safe)
    example = (steps[0, [0, -1]].nan_to_num(), resets[0, [0, -1]], torch.zeros(2, 8), torch.zeros(2, actions))
    session = exported(flat, (*example, *guard.initial(2).values()), path)
    wanted = {each.name for each in session.get_inputs()}
    fed = {name: value.numpy() for name, value in state.items()}
    for row, reset in zip(steps, resets, strict=True):
        latent = latents(guard.filter.usable(row, state, reset))
        proposed = torch.randn(rows, actions) * 3
        with torch.no_grad():
            ours = flat(row, reset, latent, proposed, *state.values())
        given = {
            "rows": row.numpy(),
            "reset": reset.numpy(),
            "latent": latent.numpy(),
            "proposed": proposed.numpy(),
            **fed,
        }
        theirs = session.run(None, {name: value for name, value in given.items() if name in wanted})
        assert np.array_equal(theirs[1], ours[1].numpy())
        for one, other in zip(theirs, ours, strict=True):
            np.testing.assert_allclose(one, other.numpy(), rtol=1e-5, atol=1e-5)
        raised.append(theirs[1])
        state = dict(zip(state, ours[4:], strict=True))
        fed = dict(zip(state, theirs[4:], strict=True))
    return np.concatenate(raised).sum(0)


@pytest.mark.parametrize("rows", [1, 7])
def test_every_tier_flags_the_same(rows: int, tmp_path: Path) -> None:
    guard, inside = fitted(*ALL), Inside(agent())
    steps, resets = disturbed(rows)
    if rows == 1:
        resets[:] = False
    raised = compared(guard, steps, resets, lambda usable: inside(usable.numpy())[0], tmp_path / "filter.onnx")
    assert (raised[:7] > 0).all() if rows > 1 else (raised > 0).sum() > 5


@pytest.mark.parametrize("name", ["ppo-cnn", "her", "ppo-multi"])
def test_every_kind_of_observation(name: str, tmp_path: Path) -> None:
    made, world = random_world(name)
    guard = fit(made, world, episodes=10, alarms=0.9)
    seen = guard.layout.rows(tiny.observations(world.observation_space, 6 * 3))
    steps = torch.from_numpy(seen).reshape(6, 3, -1).clone()
    steps[1, 0, 0], steps[2, 1, -1], steps[3, 2, 0] = torch.nan, torch.inf, 999.0
    none = torch.zeros(6, 3, dtype=torch.bool)
    raised = compared(guard, steps, none, lambda _: torch.zeros(3, 8), tmp_path / "filter.onnx")
    assert (raised[:2] > 0).all()
