"""What the measurements of a run say about its health, one plain sentence each: what was seen, where, what to consider.

An alarm is a threshold. Where the field has a common one it is that (`docs/decisions.md`, "The diagnosis"); the others
are marked as guesses. A few sentences are facts and always there, such as how far the policy and the weights moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acclimate.diagnosis import inside
from acclimate.diagnosis.history import History
from acclimate.diagnosis.inside import names
from acclimate.evaluation.evaluate import Evaluation, Point
from acclimate.planning.probe import Situation
from acclimate.reports.findings import Measured
from acclimate.statistics.estimates import lower_bound

STEP_ZERO = 1e-6
DIP_ERRORS = 2.0
"""Standard errors by which a measurement must lie below the pretrained agent's episodes to count as a dip."""
FORGOTTEN = 0.2
FAR = 0.05
"""Nats by which the policy must have moved on source states for that to be forgetting. A guess."""
FLAT = 0.25
"""Share of that movement up to which the states of now count as still. A guess."""
CLIP_FRACTION = 0.3
STD_COLLAPSE = 0.05
ENTROPY_COLLAPSE = 0.05
"""Share of the greatest entropy, if it is also below a quarter of what it was. A guess."""
ALPHA_COLLAPSE = 0.01
"""Share of its first value. A guess."""
CLIPPED = 0.01
DRIFT = 2.0
REWARD_SCALE = 10.0
OPPOSED = -0.3
"""Of three readings on average, since one of few states is noisy. A guess."""


@dataclass(frozen=True)
class Handles:
    """What a user can turn, by the algorithm that trains."""

    steps: str = "a stronger tie to the prior or a lower learning rate"
    """So that the policy goes less far."""
    exploring: str = "algorithm.ent_coef, or a lower learning rate"
    critic: str = "warm_start.critic_warmup"
    """So that the critic knows more when the actor follows it."""
    shared: str = "a lower algorithm.vf_coef, or to hold the trunk"

    @classmethod
    def of(cls, algorithm: str) -> Handles:
        """Return those of an algorithm. TRPO's actor has a trust region in place of a loss and a rate."""
        if algorithm != "trpo":
            return cls()
        region = "a smaller algorithm.target_kl"
        return cls(steps=region, exploring=region, critic="algorithm.n_critic_updates", shared="to hold the trunk")


def diagnose(
    situation: Situation,
    history: History,
    *,
    points: Sequence[Point] = (),
    pretrained: Evaluation | None = None,
    source: Measured | None = None,
    features: Sequence[str] = (),
    scaled: Sequence[str] = (),
    algorithm: str = "ppo",
) -> Iterator[str]:
    """Yield the sentences.

    Args:
        situation: what the probe found.
        history: the readings of the training.
        points: the measurements during training.
        pretrained: the pretrained agent's episodes on their seeds.
        source: the final evaluations on the source task.
        features: what the entries of an observation are called.
        scaled: the same of those that are normalised.
        algorithm: that trained.
    """
    handles = Handles.of(algorithm)
    yield from _skill(situation)
    yield from _start(history)
    if pretrained is not None:
        yield from _dip(points, pretrained.returns, handles)
    yield from _forgetting(source)
    yield from _policy(history, handles)
    yield from _updates(history, handles)
    yield from inside.critics(history)
    yield from inside.networks(history)
    yield from _observations(history, features, scaled, handles)


def _skill(situation: Situation) -> Iterator[str]:
    kept = situation.retained
    if kept is not None:
        yield (
            f"Untouched, the agent kept {kept:.0%} of its skill in the changed world "
            f"({situation.target_return:.4g} of {situation.source_return:.4g}; random actions give "
            f"{situation.random_return:.4g})."
        )


def _start(history: History) -> Iterator[str]:
    gap = history.first("policy/step_zero")
    if gap is not None and gap > STEP_ZERO:
        yield (
            f"Before the first update the policy already differed from the pretrained one by {gap:.2g}: a method "
            "changed it when it was put in; consider one that starts as the identity."
        )


def _dip(points: Sequence[Point], pretrained: NDArray[np.float64], handles: Handles) -> Iterator[str]:
    if not points:
        return
    gains = [float((p.evaluation.returns - pretrained).mean()) for p in points]
    worst = min(range(len(gains)), key=gains.__getitem__)
    if lower_bound(pretrained - points[worst].evaluation.returns, DIP_ERRORS) > 0:
        back = next((p.steps for p, gain in zip(points[worst:], gains[worst:], strict=True) if gain >= 0), None)
        after = f"and was back at step {back}" if back is not None else "and did not come back"
        yield (
            f"At step {points[worst].steps} the return dipped {-gains[worst]:.4g} below the pretrained agent's "
            f"{after}: {handles.steps} would soften it."
        )


def _forgetting(source: Measured | None) -> Iterator[str]:
    if source is None or source.last is None:
        return
    lost, before = source.before.minus(source.last), float(source.before.returns.mean())
    if lost.excludes(0.0) and lost.value > FORGOTTEN * abs(before):
        yield (
            f"By the end of training the return on the source task fell from {before:.4g} to "
            f"{float(source.last.returns.mean()):.4g}: where the old skill is still needed, consider "
            f"{names('a tie to what the agent does there', 'bc', 'kl')}, which keeps most of it, at a price in the "
            "changed world that depends on the change."
        )


def _policy(history: History, handles: Handles) -> Iterator[str]:
    near, far = history.known("policy/kl"), history.known("policy/kl_source")
    if near:
        also = f", {far[-1]:.3g} on states of the source task" if far else ""
        yield f"The tuned policy is {near[-1]:.3g} nats (KL) from its prior on the last observations{also}."
    if len(far) > 2 and len(near) > 2:
        moved, here = far[-1] - far[1], near[-1] - near[1]
        if moved > FAR and abs(here) < FLAT * moved:
            yield (
                f"The policy moved {moved:.2g} nats on states of the source task while it moved {here:.2g} on those it "
                "meets now: it is forgetting states it no longer visits; consider "
                f"{names('a tie to the prior on stored source states', 'distill', 'bc', 'ewc')}."
            )
    std, first = history.last("policy/std"), history.first("policy/std")
    if std is not None and std < STD_COLLAPSE:
        yield f"The policy's std fell to {std:.3g} from {first:.3g}: it hardly explores; consider warm_start.std."
    entropy, start = history.last("policy/entropy"), history.first("policy/entropy")
    if entropy is not None and start is not None and entropy < ENTROPY_COLLAPSE and entropy < start / 4:
        yield (
            f"The policy's entropy fell to {entropy:.1%} of the greatest from {start:.1%}: it hardly explores; "
            f"consider {handles.exploring}."
        )
    alpha, start = history.last("policy/alpha"), history.first("policy/alpha")
    if alpha is not None and start is not None and alpha < ALPHA_COLLAPSE * start:
        yield (
            f"The entropy coefficient fell to {alpha:.2g} from {start:.2g}: the policy hardly explores any more; "
            "consider a fixed algorithm.ent_coef."
        )


def _updates(history: History, handles: Handles) -> Iterator[str]:
    clip, kl = history.last("training/clip_fraction"), history.last("training/approx_kl")
    if clip is not None and clip > CLIP_FRACTION:
        size = "" if kl is None else f" (approx. KL {kl:.2g})"
        yield f"{clip:.0%} of the last updates were clipped{size}: the steps are large; consider a lower learning rate."
    rate = history.last("training/learning_rate")
    if history.last("training/at_bound") and rate is not None:
        yield (
            f"The learning rate moved at first and now stands still at {rate:.2g}, a bound: what adapts it has no room "
            "left; consider another bound, or another target for it."
        )
    explained = history.last("training/explained_variance")
    if explained is not None and explained < 0:
        yield (
            f"The critic explains nothing of the returns (explained variance {explained:.2f}): consider "
            f"{handles.critic}."
        )
    cosines = history.known("training/cosine")
    if len(cosines) > 2 and float(np.mean(cosines)) < OPPOSED:
        yield (
            f"Actor and critic pull the features that they share apart (cosine of their gradients "
            f"{float(np.mean(cosines)):.2f}): consider {handles.shared}."
        )


def _observations(history: History, features: Sequence[str], scaled: Sequence[str], handles: Handles) -> Iterator[str]:
    def feature(name: str, called: Sequence[str]) -> str:
        place = int(history.last(name) or 0)
        return called[place] if place < len(called) else str(place)

    drift = history.last("observations/drift")
    if drift is not None and drift > DRIFT:
        yield (
            f"Observation {feature('observations/drifted_feature', scaled)} moved by {drift:.1f} standard deviations "
            "of pretraining: the networks see inputs that they do not know; consider warm_start.normalizer: freeze."
        )
    elif drift is not None:
        yield f"The observation statistics moved by at most {drift:.2f} standard deviations."
    shift = history.first("observations/shift")
    if shift is not None and shift > DRIFT:
        yield (
            f"Where the pretrained agent acts, observation {feature('observations/shifted_feature', features)} lies "
            f"{shift:.1f} standard deviations from where it lay in the source task: consider to train the first layers."
        )
    shares = [history.last(f"observations/{name}") or 0.0 for name in ("clipped", "clipped_saved")]
    if max(shares) > CLIPPED:
        yield (
            f"{max(shares):.1%} of the observations lie at the normaliser's bound, where they all look the same: "
            "consider warm_start.normalizer: fresh."
        )
    scale = history.first("observations/reward_scale")
    if scale is not None and not 1 / REWARD_SCALE <= scale <= REWARD_SCALE:
        yield (
            f"The pretrained agent is paid {scale:.3g} times what it was in the source task: its critic's values are "
            f"of another scale; consider more {handles.critic}."
        )
