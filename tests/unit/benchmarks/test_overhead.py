"""The benchmark of what methods cost an update: it times real updates, beside `full`."""

from __future__ import annotations

import numpy as np
from benchmarks import overhead

from acclimate.methods.freeze import Freeze
from acclimate.methods.full import Full
from acclimate.methods.kl import KLToPrior


def test_every_overhead_is_timed_beside_full() -> None:
    kind = overhead.Kind("SAC", overhead.sac, {"gradient_steps": 1, "batch_size": 8})
    milliseconds, found = overhead.measure(kind, ["kl"], 2)
    assert milliseconds > 0
    assert set(found) == {overhead.STOCK, "kl"}
    assert all(len(timed.ratios) == len(timed.seconds) == 2 for timed in found.values())
    low, middle, high = np.percentile(found["kl"].ratios, (25, 50, 75))
    assert overhead.ratio(found["kl"]) == f"{middle:.2f} [{low:.2f}, {high:.2f}]"
    assert overhead.ratio("it says why") == "refused"


def test_an_update_trains_what_the_method_leaves() -> None:
    for kind in overhead.KINDS:
        model = kind.make()
        frozen = overhead.prepare(
            overhead.Kind(kind.title, lambda model=model: model, kind.arguments), Freeze(on="actor")
        )
        before = {name: value.clone() for name, value in model.policy.state_dict().items()}
        frozen.update()
        moved = {name for name, value in model.policy.state_dict().items() if not value.equal(before[name])}
        assert moved
        assert not [name for name in moved if name.startswith(("actor.", "action_net", "mlp_extractor.policy_net"))]
    assert isinstance(overhead.prepare(overhead.KINDS[0], KLToPrior()), overhead.Timed)
    assert isinstance(overhead.prepare(overhead.KINDS[0], Full()), overhead.Timed)
