"""The optional kernel: it computes what the engine in Python computes, on one core and on two."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from acclimate.cli import main
from acclimate.engine.arrays.activations import activation
from acclimate.engine.arrays.flat import Flat
from acclimate.engine.arrays.native import kernel
from acclimate.engine.arrays.native.build import build, find_compiler, place
from acclimate.engine.arrays.native.check import check, distance
from acclimate.engine.arrays.native.kernel import Kernel
from acclimate.engine.arrays.perceptron import Dense, dense_layers
from acclimate.engine.arrays.side import Side
from acclimate.engine.choice import attach
from acclimate.engine.learning.prior import prior_of
from acclimate.engine.threads import threads as threads_of
from acclimate.errors import AcclimateError
from acclimate.methods.channel import ChannelScale
from acclimate.methods.freeze import Freeze
from acclimate.methods.full import Full
from acclimate.methods.kl import KLToPrior
from acclimate.methods.l2sp import L2SP
from acclimate.nets.experience import Batch
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method, chain
from tests.cases import agent
from tests.unit.engine import test_inputs, test_off_policy, test_on_policy
from tests.unit.engine.alike import A2C, ACTIONS, PPO, both, weights

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Let the kernel be built where no other test looks."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCLIMATE_CACHE", str(folder))
        build(check)
        yield folder


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest, cache: Path) -> Iterator[int]:
    """Of the kernel alone: torch's own crawl where a core is busy."""
    built().threads = request.param
    yield request.param
    built().threads = 1


def built() -> Kernel:
    found = kernel()
    assert found is not None
    return found


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 300),
    sizes=st.lists(st.integers(1, 300), min_size=2, max_size=5),
    double=st.booleans(),
    seed=st.integers(0, 1000),
    count=st.sampled_from([1, 2, 3, 8]),
)
def test_passes_are_those_of_numpy(
    cache: Path, rows: int, sizes: list[int], double: bool, seed: int, count: int
) -> None:
    built().threads = count
    apart = distance(built(), rows, tuple(sizes), np.float64 if double else np.float32, seed)
    built().threads = 1
    # A unit may sit at the kink of a ReLU within rounding; its gradient is then either side's.
    assert apart < (1e-11 if double else 2e-3)


def test_tanh_is_right_everywhere(cache: Path) -> None:
    """Against numpy's in double, in units of float32's last place of a number near one; infinities included."""
    x = np.concatenate([np.linspace(-12, 12, 10_001), np.geomspace(1e-30, 1, 500), [np.inf, -np.inf, 0.0]])
    layer = nn.Linear(1, 1)
    for dtype, close in ((torch.float32, 2.5e-7), (torch.float64, 5e-16)):
        layer = layer.to(dtype)
        with torch.no_grad():
            layer.weight.fill_(1.0)
            layer.bias.zero_()
        side = Side((Dense(layer, activation(nn.Tanh())),), Flat(list(layer.parameters())))
        rows = x.astype(side.whole.net.weights[0].dtype)
        # An infinite input times a weight is no number in a product; what a tanh sees of it is a large one.
        rows = np.clip(rows, -3e38, 3e38)[:, None]
        out = side.forward(rows)[:, 0].astype(np.float64)
        truth = np.tanh(rows[:, 0].astype(np.float64))
        assert np.abs(out - truth).max() < close
        small = (np.abs(truth) > 0) & (np.abs(truth) < 0.5)
        assert (np.abs(out - truth)[small] / np.abs(truth)[small]).max() < 8 * close


METHODS: dict[str, Method] = {
    "several": chain(ChannelScale(train_base=True), KLToPrior(weight=0.5), L2SP()),
    "freeze": Freeze(on="actor:mlp_extractor"),
    "freeze-biases": Freeze(on="*:*.bias"),
}


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_300_updates_are_those_of_sb3(threads: int, algorithm: type, actions: str) -> None:
    outcome = both(algorithm, actions, rollouts=15 if algorithm is PPO else 300)
    assert outcome.updates == 300
    assert outcome.distance < 1e-8


@pytest.mark.parametrize("method", METHODS)
def test_methods_do_what_they_do_under_sb3(threads: int, method: str) -> None:
    assert both(PPO, "box", METHODS[method]).distance < 1e-8


@pytest.mark.parametrize("method", test_inputs.METHODS)
def test_frozen_first_layers(threads: int, method: str) -> None:
    arguments = {"policy_kwargs": dict(test_inputs.WIDE)}
    assert both(PPO, "box", test_inputs.METHODS[method], rollouts=5, **arguments).distance < 1e-8


@pytest.mark.parametrize("actions", ["box", "discrete"])
def test_in_float32_it_drifts_as_sb3_does_from_itself(cache: Path, actions: str) -> None:
    def perturb(model: object) -> None:
        with torch.no_grad():
            for p in model.policy.parameters():  # type: ignore[attr-defined]
                p.copy_(torch.nextafter(p, torch.full_like(p, torch.inf)))

    drift = both(PPO, actions, dtype=torch.float32).distance
    assert drift <= 3 * both(PPO, actions, dtype=torch.float32, disturb=perturb).distance


def test_several_threads_compute_what_one_does(cache: Path) -> None:
    found = []
    for count in (1, 2, 5):
        built().threads = count
        model = agent("ppo-mlp", batch_size=64, n_steps=64)
        seam = Seam(model, Full(), total_steps=256)
        assert "native" in attach(seam, type(model), "auto")[1]
        with seam:
            model.learn(256)
        found.append(weights(model))
    built().threads = 1
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_fork_has_its_own_threads(cache: Path) -> None:
    """Two perceptrons at once, in the child of a process whose other threads run."""
    built().threads = 3
    layers = [nn.Linear(7, 5) for _ in range(2)]
    one, two = (Side((Dense(layer, None),), Flat(list(layer.parameters()))) for layer in layers)
    x = np.random.default_rng(0).normal(size=(32, 7)).astype(np.float32)
    expected = [out.copy() for out in one.forward_beside(two, x)]
    child = os.fork()
    if child == 0:
        same = all(
            np.array_equal(*pair) for _ in range(64) for pair in zip(one.forward_beside(two, x), expected, strict=True)
        )
        os._exit(0 if same else 1)
    _, status = os.waitpid(child, 0)
    built().threads = 1
    assert os.waitstatus_to_exitcode(status) == 0


def test_the_kernel_has_the_threads_of_torch_while_it_trains(cache: Path) -> None:
    seen = []
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    with threads_of(built()):
        seen.append((built().threads, torch.get_num_threads()))
    seen.append((built().threads, torch.get_num_threads()))
    torch.set_num_threads(usual)
    assert seen == [(2, 1), (1, 2)]


def test_two_trainings_in_one_process_do_not_meet(cache: Path) -> None:
    """Each in a thread of Python, on perceptrons of different sizes, for long enough to come between each other."""
    built().threads = 2

    def apart(units: int) -> float:
        return max(distance(built(), 64, (9, units, 5), np.float64, seed) for seed in range(60))

    with ThreadPoolExecutor(2) as pool:
        assert max(pool.map(apart, (40, 200))) < 1e-11
    built().threads = 1


def test_rows_that_lie_apart_are_read_as_they_are(cache: Path) -> None:
    layer = nn.Linear(4, 3)
    side = Side((Dense(layer, None),), Flat(list(layer.parameters())))
    wide = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    expected = side.forward(np.ascontiguousarray(wide[:, ::2])).copy()
    assert np.array_equal(side.forward(wide[:, ::2]), expected)


def test_other_activations_are_left_to_numpy(cache: Path) -> None:
    known, other = ([nn.Linear(3, 4), act, nn.Linear(4, 2)] for act in (nn.Tanh(), nn.ELU()))
    for layers, kept in ((known, True), (other, False)):
        parameters = [p for layer in layers for p in layer.parameters()]
        found = dense_layers(layers)
        assert isinstance(found, tuple)
        assert (Side(found, Flat(parameters)).kernel is not None) == kept


def test_the_command_builds_and_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCLIMATE_CACHE", str(tmp_path / "new"))
    assert kernel() is None
    done = CliRunner().invoke(main, ["native"])
    assert done.exit_code == 0, done.output
    assert "agrees with the engine in Python" in done.output
    assert place().exists()
    assert kernel() is not None
    assert "removed" in CliRunner().invoke(main, ["native", "--remove"]).output
    assert not place().exists()
    assert "there is none" in CliRunner().invoke(main, ["native", "--remove"]).output


def test_no_compiler_and_one_that_fails_are_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCLIMATE_CACHE", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(AcclimateError, match="no C compiler was found"):
        build(check)
    failing = shutil.which("false")
    assert failing is not None
    monkeypatch.setenv("CC", failing)
    with pytest.raises(AcclimateError, match="cannot compile the kernel"):
        build(check)
    assert list(tmp_path.iterdir()) == []


def test_a_kernel_that_is_wrong_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCLIMATE_CACHE", str(tmp_path))

    def refuse(path: Path) -> None:
        assert path.exists()
        raise AcclimateError("the kernel differs")

    with pytest.raises(AcclimateError, match="differs"):
        build(refuse)
    assert kernel() is None
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    with pytest.raises(AcclimateError, match="is no kernel"):
        check(broken)


@pytest.mark.parametrize("method", ["full", "several", "freeze-lower"])
@pytest.mark.parametrize("algorithm", test_off_policy.ALGORITHMS)
def test_off_policy_agents_too(threads: int, algorithm: str, method: str) -> None:
    test_off_policy.test_300_updates_are_those_of_sb3(algorithm, method)


def test_one_gradient_in_float32(threads: int) -> None:
    test_on_policy.test_one_gradient_in_float32()
    for algorithm in test_off_policy.ALGORITHMS:
        test_off_policy.test_one_gradient_in_float32(algorithm, 64)


@pytest.mark.parametrize("algorithm", ["sac", "dqn"])
def test_in_float32_off_policy_agents_drift_as_sb3_does_from_itself(cache: Path, algorithm: str) -> None:
    test_off_policy.test_in_float32_it_drifts_no_further_than_sb3_from_itself(algorithm)


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 200),
    shares=st.tuples(st.floats(0.05, 1.0), st.floats(0.05, 1.0)),
    units=st.lists(st.integers(1, 90), min_size=1, max_size=3),
    inputs=st.integers(3, 60),
    count=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 1000),
)
def test_the_gradient_of_some_inputs_of_some_rows_is_numpy_s(
    cache: Path, rows: int, shares: tuple[float, float], units: list[int], inputs: int, count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    sides = []
    for _ in range(2):
        sizes = [inputs, *units, 1]
        layers = [nn.Linear(a, b).double() for a, b in itertools.pairwise(sizes)]
        acts = [activation(nn.ReLU())] * len(units) + [None]
        dense = tuple(Dense(layer, act) for layer, act in zip(layers, acts, strict=True))
        sides.append(Side(dense, Flat([p for layer in layers for p in layer.parameters()])))
    x = rng.normal(size=(rows, inputs))
    chosen = [np.flatnonzero(rng.random(rows) < share) for share in shares]
    gradients = [rng.normal(size=(len(some), 1)) for some in chosen]
    built().threads = count
    sides[0].forward_beside(sides[1], x)
    found = sides[0].inward_beside(sides[1], [g.copy() for g in gradients], rows, chosen, slice(-2, None))
    built().threads = 1
    for side, some, gradient, ours in zip(sides, chosen, gradients, found, strict=True):
        side.whole.kernel = None
        side.forward(x)
        if len(some):
            np.testing.assert_allclose(ours, side.inward(gradient.copy(), rows, some, slice(-2, None)), atol=1e-12)


@pytest.mark.parametrize("train_base", [False, True])
def test_the_gradients_of_channel_scales_are_numpy_s(threads: int, train_base: bool) -> None:
    """Of scales alone by sums over rows, of scales and weights by the weight's gradient."""
    model = agent("sac-mlp", steps=0)
    seam = Seam(model, ChannelScale(train_base=train_base))
    with seam:
        flat = Flat(list(model.critic.parameters()))
        side = Side(dense_layers(list(model.critic.qf0)), flat)  # type: ignore[arg-type]
        scales = [p for name, p in model.critic.qf0.named_parameters() if "scale" in name]
        rng = np.random.default_rng(0)
        with torch.no_grad():
            for scale in scales:
                scale.mul_(torch.from_numpy(rng.uniform(0.5, 1.5, tuple(scale.shape)).astype(np.float32)))
        width = side.whole.net.weights[0].shape[1]
        x, gradient = (rng.normal(size=(64, size)).astype(np.float32) for size in (width, 1))
        found = []
        for kernels in (side.kernel, None):
            side.whole.kernel = kernels
            flat.gradient.fill(0.0)
            side.compute()
            side.forward(x)
            side.backward(x, gradient.copy())
            found.append(flat.gradient.copy())
    assert scales
    assert np.abs(found[1]).max() > 0
    np.testing.assert_allclose(found[0], found[1], atol=1e-5 * float(np.abs(found[1]).max()))


def test_the_prior_is_run_by_the_kernel(cache: Path) -> None:
    model = agent("sac-mlp", steps=0)
    seam = Seam(model, KLToPrior())
    with seam:
        (net,) = (net for net in seam.tuner.nets if net.role == "actor")
        width = model.observation_space.shape[0]
        batch = Batch(observations=torch.randn(32, width))
        ours, theirs = prior_of(net)(batch), net.prior(batch)
    torch.testing.assert_close(ours.mean, theirs.mean)
    torch.testing.assert_close(ours.log_std, theirs.log_std)
