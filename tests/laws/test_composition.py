"""How methods compose, on methods made up for the purpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import Parameter

from acclimate.errors import ConfigError, SurgeryError, TrainingError
from acclimate.methods.full import Full
from acclimate.methods.kl import KLToPrior
from acclimate.methods.l2sp import L2SP
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.tuning.attach import attach
from acclimate.tuning.context import Context
from acclimate.tuning.method import Chain, Method, Scales, Signals, chain
from tests.cases import METHODS

LOG: list[str] = []


@dataclass(frozen=True, kw_only=True)
class Spy(Method):
    """Writes down which of its hooks ran."""

    name: ClassVar[str] = "spy"
    family: ClassVar[str] = "layer"

    mark: str = "a"
    on: Select = Select("*")

    def inject(self, net: Net, context: Context) -> None:
        LOG.append(f"inject {self.mark}")

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        LOG.append(f"scales {self.mark} {state}")
        return {}

    def init(self, net: Net, context: Context) -> int:
        LOG.append(f"init {self.mark}")
        return 0

    def rollout(self, net: Net, state: int, signals: Signals) -> int:
        LOG.append(f"rollout {self.mark} {signals.rollout}")
        return state

    def gradient(self, net: Net, state: int, signals: Signals) -> None:
        LOG.append(f"gradient {self.mark}")

    def after(self, net: Net, state: int, signals: Signals) -> int:
        LOG.append(f"after {self.mark} {state}")
        return state + 1

    def fold(self, net: Net, state: int, context: Context) -> None:
        LOG.append(f"fold {self.mark} {state}")


@dataclass(frozen=True, kw_only=True)
class Scale(Method):
    """Scales every learning rate."""

    name: ClassVar[str] = "scale"
    family: ClassVar[str] = "learning-rate"

    by: float = 1.0
    late: float | None = None
    on: Select = Select("*")

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        by = self.late if self.late is not None and signals.progress >= 0.5 else self.by
        return dict.fromkeys(net.parameters(), by)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


methods = st.sampled_from(list(METHODS.values()))
chains = st.lists(methods, max_size=3).map(lambda drawn: chain(*drawn))


@given(chains, chains, chains)
def test_chaining_is_associative_and_has_an_identity(a: Method, b: Method, c: Method) -> None:
    assert chain(chain(a, b), c) == chain(a, chain(b, c)) == chain(a, b, c)
    assert chain(a, chain()) == chain(chain(), a) == chain(a) == a
    assert chain(a, b).parts() == (*a.parts(), *b.parts())


def test_a_chain_is_as_good_as_its_parts() -> None:
    class Sealed(Full):
        name: ClassVar[str] = "sealed"
        foldable: ClassVar[bool] = False

    class Shaken(Full):
        preserves: ClassVar[bool] = False

    assert (chain().foldable, chain().preserves) == (True, True)
    both = chain(Sealed(), Full(), Shaken())
    assert (both.foldable, both.preserves) == (False, False)
    with pytest.raises(SurgeryError, match="`sealed` cannot end as a stock network"):
        attach(both, {"q": network()}).fold()
    with pytest.raises(ConfigError, match="is no method"):
        chain(Sealed)  # type: ignore[arg-type]


def test_the_phases_and_their_order() -> None:
    LOG.clear()
    q = network()
    optimizer = torch.optim.SGD(q.parameters(), lr=0.1)
    tuner = attach(chain(Spy(mark="a"), Spy(mark="b")), {"q": q}, optimizer=optimizer)
    assert LOG == [
        "inject a",
        "inject b",
        "scales a None",
        "scales b None",
        "init a",
        "init b",
        "scales a 0",
        "scales b 0",
    ]
    LOG.clear()
    tuner.rollout()
    assert LOG == ["rollout a 1", "rollout b 1", "scales a 0", "scales b 0"]
    LOG.clear()
    for _ in range(2):
        q(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        tuner.step()
    assert [
        *["gradient a", "gradient b", "after a 0", "after b 0"],
        "gradient a",
        "gradient b",
        "after a 1",
        "after b 1",
    ] == LOG
    LOG.clear()
    tuner.fold()
    assert LOG == ["fold b 2", "fold a 2"]
    assert tuner.signals.updates == 2


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 2.0]), min_size=1, max_size=4))
def test_scales_multiply_and_zero_wins(factors: list[float]) -> None:
    q = network()
    expected = 1.0
    for factor in factors:
        expected *= factor
    method = chain(*(Scale(by=factor, on="q:0") for factor in factors))
    if expected == 0:
        with pytest.raises(SurgeryError, match="`scale` on `q:0` constrains 0 trainable weights: `scale` froze all 2"):
            attach(method, {"q": q})
        return
    tuner = attach(method, {"q": q})
    assert tuner.scales[q[0].weight] == expected
    assert tuner.scales[q[2].weight] == 1.0


@settings(deadline=None)
@given(st.floats(0.01, 10), st.floats(0.01, 10))
def test_penalties_add(first: float, second: float) -> None:
    """The penalty of a chain, and its gradient, is the sum of those of its parts."""
    shown = torch.linspace(-1, 1, 15).view(5, 3)

    def gradient(method: Method) -> tuple[Tensor, list[Tensor]]:
        q = network()
        tuner = attach(method, {"q": q})
        with torch.no_grad():
            for p in q.parameters():
                p += 0.1
        penalty = tuner.penalty(shown)
        return penalty.detach(), list(torch.autograd.grad(penalty, list(q.parameters())))

    a, b = L2SP(weight=first), KLToPrior(weight=second)
    (one, grads_one), (two, grads_two), (both, grads) = (gradient(m) for m in (a, b, chain(a, b)))
    torch.testing.assert_close(both, one + two)
    for x, y, z in zip(grads_one, grads_two, grads, strict=True):
        torch.testing.assert_close(z, x + y)


def test_scales_that_change_in_training() -> None:
    """What thaws trains, what freezes stays, moments of the others are kept."""
    q = network()
    optimizer = torch.optim.Adam(q.parameters(), lr=0.1)
    method = chain(Scale(by=0.0, late=1.0, on="q:0"), Scale(by=1.0, late=0.5, on="q:2"))
    with pytest.raises(SurgeryError, match="`scale` on `q:0` constrains 0"):
        attach(chain(Scale(by=0.0, late=1.0, on="q:0")), {"q": network()})
    method = chain(Vacuous(by=0.0, late=1.0, on="q:0"), Scale(by=1.0, late=0.5, on="q:2"))
    tuner = attach(method, {"q": q}, optimizer=optimizer)

    def moved() -> list[bool]:
        before = [p.detach().clone() for p in q.parameters()]
        optimizer.zero_grad()
        q(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()
        tuner.step()
        return [not torch.equal(p, value) for p, value in zip(q.parameters(), before, strict=True)]

    assert moved() == [False, False, True, True]
    steps = optimizer.state[q[2].weight]["step"].clone()
    tuner.signals.progress = 0.6
    tuner.rollout()
    assert [(g["scale"], len(g["params"])) for g in optimizer.param_groups] == [(1.0, 2), (0.5, 2)]
    assert moved() == [True, True, True, True]
    assert optimizer.state[q[2].weight]["step"] == steps + 1
    assert {g["lr"] for g in optimizer.param_groups} == {0.1}


class Vacuous(Scale):
    vacuous: ClassVar[bool] = True


@pytest.mark.parametrize("by", [-1.0, float("nan"), float("inf")])
def test_a_scale_is_a_number_of_zero_or_more(by: float) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Own(Method):
        """Computes its scale, which no check of a field sees."""

        name: ClassVar[str] = "own"
        family: ClassVar[str] = "learning-rate"

        def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
            return dict.fromkeys(net.parameters(), by)

    with pytest.raises(SurgeryError, match="`own` on `q` scales a learning rate by"):
        attach(Own(), {"q": network()})


def test_a_module_penalty_and_what_it_sees() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Quiet(Method):
        name: ClassVar[str] = "quiet"
        family: ClassVar[str] = "regularisation"
        on: Select = Select("q:0")

        def init(self, net: Net, context: Context) -> dict[Parameter, Tensor]:
            return {p: torch.ones_like(p) for p in net.parameters()}

        def module_penalty(self, net: Net, state: Any, batch: Batch, signals: Signals) -> Tensor:
            assert [p.shape for p in state] == [p.shape for p in net.parameters()]
            return net.module[0](batch.observations).square().mean()

    q = network()
    q.append(nn.BatchNorm1d(2))
    tuner = attach(Quiet(), {"q": q})
    shown = torch.randn(6, 3)
    torch.testing.assert_close(tuner.penalty(shown), q[0](shown).square().mean())
    assert torch.equal(q[3].running_mean, torch.zeros(2))
    assert set(tuner.signals.penalties) == {"quiet/q"}


def test_data_that_nobody_gave() -> None:
    context = Context(target=lambda steps: Batch(torch.arange(steps).float()), evaluate=lambda: (3.5, 20))
    assert context.target(7).observations.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert context.target(3).observations.tolist() == [0, 1, 2]
    assert context.charged == 7, "what another method has asked for is shared"
    assert len(context.target(9)) == 9
    assert context.charged == 9
    assert (context.evaluate(), context.charged) == (3.5, 29)
    for ask in (lambda: context.source(5), Context().evaluate):
        with pytest.raises(SurgeryError):
            ask()


def test_a_checkpoint_of_other_methods_is_refused() -> None:
    tuner = attach(chain(L2SP(), Full()), {"q": network()})
    data = tuner.state_dict()
    with pytest.raises(TrainingError, match=r"of the methods \['l2sp', 'full'\], not \['l2sp'\]"):
        attach(L2SP(), {"q": network()}).load_state_dict(data)


def test_states_that_no_file_can_hold() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Odd(Full):
        def init(self, net: Net, context: Context) -> object:
            return object()

    with pytest.raises(TrainingError, match="holds a object"):
        attach(Odd(), {"q": network()}).state_dict()


def test_the_empty_chain_is_no_error() -> None:
    assert Chain().parts() == ()
    assert attach(chain(), {"q": network()}).penalty(torch.ones(1, 3)).item() == 0.0
