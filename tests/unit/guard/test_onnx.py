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


def exported(guard: Guard, units: int, path: Path) -> Any:
    """Return a session; the batch is dynamic, and each example is a tensor of its own."""
    flat, batch = Flat(guard), {0: torch.export.Dim("batch")}
    example = (
        torch.randn(2, guard.layout.size),
        torch.tensor([False, True]),
        torch.zeros(2, units),
        torch.zeros(2, len(guard.release.safe)),
        *guard.initial(2).values(),
    )
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


def compared(guard: Guard, session: Any, steps: Tensor, resets: Tensor, latents: Any) -> np.ndarray:
    """Run both over episodes, and return how often each flag was raised."""
    flat, state, raised = Flat(guard), guard.initial(steps.shape[1]), []
    wanted = {each.name for each in session.get_inputs()}
    fed = {name: value.numpy() for name, value in state.items()}
    for row, reset in zip(steps, resets, strict=True):
        latent, proposed = (
            latents(guard.filter.usable(row, state, reset)),
            torch.randn(len(row), len(flat.release.safe)),
        )
        given = {"rows": row, "reset": reset, "latent": latent, "proposed": 3 * proposed}
        with torch.no_grad():
            ours = flat(*given.values(), *state.values())
        inputs = {**{name: value.numpy() for name, value in given.items()}, **fed}
        theirs = session.run(None, {name: value for name, value in inputs.items() if name in wanted})
        assert np.array_equal(theirs[1], ours[1].numpy())
        for one, other in zip(theirs, ours, strict=True):
            np.testing.assert_allclose(one, other.numpy(), rtol=1e-5, atol=1e-5)
        raised.append(theirs[1])
        state = dict(zip(state, ours[4:], strict=True))
        fed = dict(zip(state, theirs[4:], strict=True))
    return np.concatenate(raised).sum(0)


def test_every_tier_flags_the_same_in_every_batch(tmp_path: Path) -> None:
    guard, inside = fitted(*ALL), Inside(agent())
    session = exported(guard, 8, tmp_path / "filter.onnx")
    raised = np.zeros(len(guard.filter.reasons))
    for rows, length in ((1, 60), (7, 60), (256, 20)):
        steps, resets = disturbed(rows)
        steps[20:] += 3.0  # for so long that `sequence` sees it
        resets[20:] = False
        raised += compared(guard, session, steps[:length], resets[:length], lambda usable: inside(usable.numpy())[0])
    assert (raised > 0).all(), "a flag that is never raised is not compared"


@pytest.mark.parametrize(
    "name", ["ppo-cnn", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("her", "ppo-multi"))]
)
def test_every_kind_of_observation(name: str, tmp_path: Path) -> None:
    made, world = random_world(name)
    guard = fit(made, world, episodes=10, alarms=0.9)
    seen = guard.layout.rows(tiny.observations(world.observation_space, 6 * 3))
    steps = torch.from_numpy(seen).reshape(6, 3, -1).clone()
    steps[1, 0, 0], steps[2, 1, -1], steps[3, 2, 0] = torch.nan, torch.inf, 999.0
    session = exported(guard, 8, tmp_path / "filter.onnx")
    none = torch.zeros(6, 3, dtype=torch.bool)
    raised = compared(guard, session, steps, none, lambda _: torch.zeros(3, 8))
    assert (raised[:2] > 0).all()
