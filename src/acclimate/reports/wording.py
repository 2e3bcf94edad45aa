"""A run's findings in plain words: the sentences and table rows that every form of the report shares."""

from __future__ import annotations

import math
from typing import NamedTuple

from acclimate.evaluation.evaluate import Evaluation
from acclimate.reports.findings import ONE_SEED, Findings
from acclimate.statistics.estimates import Estimate
from acclimate.statistics.judgement import FEWEST, unseen

HEADLINES = {
    "better": "Better on the target task",
    "same": "No measured difference on the target task",
    "worse": "Worse on the target task",
    "unknown": "Too few episodes for a verdict",
}
CONTRIB = frozenset({"tqc", "qrdqn", "trpo", "crossq", "ars", "recurrent_ppo", "maskable_ppo"})
CLASSES = {"recurrent_ppo": "RecurrentPPO", "maskable_ppo": "MaskablePPO", "crossq": "CrossQ"}


class Row(NamedTuple):
    """One line of the table of returns, as text."""

    task: str
    agent: str
    mean: str
    iqm: str
    interval: str
    episodes: str


def figure(value: float | None, *, sign: bool = False) -> str:
    """Write a number with about three significant digits, thousands apart."""
    if value is None or not math.isfinite(value):
        return "-"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    value = round(value, digits) + 0.0  # no minus before a zero
    return f"{value:{'+' if sign and value else ''},.{digits}f}"


def interval(low: float, high: float, *, sign: bool = False) -> str:
    """Write an interval."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "-"
    return f"{figure(low, sign=sign)} to {figure(high, sign=sign)}"


def duration(seconds: float) -> str:
    """Write a time in hours, minutes and seconds."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def headline(findings: Findings) -> str:
    """Return the verdict in a few words."""
    if findings.kept == "pretrained":
        return "Too few episodes to judge" if findings.too_few else "The pretrained agent was kept"
    return HEADLINES[findings.verdict]


def target_sentence(findings: Findings) -> str:
    """Return the verdict with its figures."""
    if findings.kept == "pretrained":
        return _kept(findings)
    gap, verdict = findings.difference, findings.verdict
    before, after = _mean(findings.target.before), _mean(findings.target.after)
    if verdict in ("better", "worse"):
        word = "more" if verdict == "better" else "less"
        return (
            f"The tuned agent returns {after} per episode where the pretrained one returned {before}: "
            f"{figure(abs(gap.value))} {word} ({_size(gap)})."
        )
    both = f"The tuned agent returns {after} per episode, the pretrained one {before}"
    if verdict == "unknown":
        return f"{both}, but a verdict takes {FEWEST} paired episodes and {gap.n} were played."
    if gap.low == gap.high == 0.0:
        return f"{both}, with no difference in any of the {gap.n} paired episodes."
    return f"{both}: the difference of {figure(gap.value, sign=True)} may be chance ({_signed(gap)})."


def source_sentence(findings: Findings) -> str | None:
    """Return what became of the source task, None where it was not measured."""
    lost, source = findings.forgetting, findings.source
    if lost is None or source is None:
        return None
    before, after = _mean(source.before), _mean(source.after)
    if findings.kept == "pretrained":
        return f"On the source task it returns {after}, as before."
    text = f"On the source task it returns {after} where it returned {before}"
    if not lost.excludes(0.0):
        return f"{text}: no loss that can be told from chance ({_signed(negated(lost))})."
    return f"{text}: a {'loss' if lost.value > 0 else 'gain'} of {figure(abs(lost.value))} ({_size(lost)})."


def negated(gap: Estimate) -> Estimate:
    """Return the difference the other way round."""
    return Estimate(-gap.value, -gap.high, -gap.low, gap.n)


def evidence_sentence(findings: Findings) -> str:
    """Return what the run may be quoted for."""
    return f"Evidence about the method: {findings.evidence} ({ONE_SEED})."


def unseen_sentence(findings: Findings) -> str | None:
    """Return what the episodes that judged cannot have shown; None where no agent was kept by them."""
    if findings.kept == "pretrained" or findings.judged is None:
        return None
    rate = unseen(findings.judged)
    return (
        f"What befalls fewer than one of {math.floor(1 / rate)} episodes may not have been seen in the "
        f"{findings.judged} by which the tuned agent was kept."
    )


def rows(findings: Findings) -> list[Row]:
    """Return the table of returns, target first."""
    table = []
    for task, measured in (("target", findings.target), ("source", findings.source)):
        if measured is None:
            continue
        table.append(_row(task, "before", measured.before))
        table.append(_row(task, "after", measured.after))
        if measured.last is not None:
            table.append(_row(task, "end of training", measured.last))
    return table


def costs(findings: Findings) -> list[tuple[str, str]]:
    """Return what the run cost and how it went on the way, as names and values."""
    share = findings.trainable_parameters / max(findings.total_parameters, 1)
    home = f"; {findings.steps_home:,} at home beside them" if findings.steps_home else ""
    table = [
        ("steps charged", f"{findings.steps_charged:,} of {findings.steps:,} asked for{home}"),
        *_measuring(findings),
        ("time", duration(findings.wall_seconds)),
        (
            "parameters trained",
            f"{findings.trainable_parameters:,} of {findings.total_parameters:,} ({100 * share:.3g} %)",
        ),
    ]
    if findings.curve:
        dip, back = findings.worst_dip, findings.recovered_at
        after = "" if not dip else ", not recovered" if back is None else f", recovered at step {back:,}"
        table.append(("worst dip while training", f"{figure(dip, sign=True)}{after}"))
        table.append(("mean return while training", figure(findings.auc)))
    return table


def _measuring(findings: Findings) -> list[tuple[str, str]]:
    """Return what measuring cost beside the steps charged, where it was counted."""
    steps = findings.steps_measured
    if steps is None:
        return []
    times = steps / max(findings.steps_charged, 1)
    beside = f", {figure(times)} times as many" if times > 1 else ""
    return [("steps of measuring", f"{steps:,}, not charged{beside}")]


def signals(findings: Findings) -> list[tuple[str, str, str]]:
    """Return what was measured during training: the signal, its first value and its last."""
    table = []
    for name, column in findings.signals.items():
        known = [value for value in column if value is not None]
        if name != "steps" and known:
            table.append((name, _short(known[0]), _short(known[-1])))
    return table


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def usage(findings: Findings) -> list[tuple[str, str]]:
    """Return code that uses the tuned agent: with Acclimate, and with stock SB3 alone where that can load it."""
    name = CLASSES.get(findings.algorithm, findings.algorithm.upper())
    package = "sb3_contrib" if findings.algorithm in CONTRIB else "stable_baselines3"
    ours = (
        "import acclimate as ac\n\n"
        'agent = ac.load("agent.zip")  # its normaliser is found beside it\n'
        "action, _ = agent.predict(observation, deterministic=True)  # raw observations"
    )
    if findings.foreign:
        ours = ours.replace('("agent.zip")', '("agent.zip", trust=True)')
    if not findings.stock:
        return [("With Acclimate", ours.replace('"agent.zip")  # its', '"bundle")  # its'))]
    if not findings.normalized:
        stock = (
            f'from {package} import {name}\n\nmodel = {name}.load("agent.zip")\n'
            "action, _ = model.predict(observation, deterministic=True)\n"
            "model.set_env(env)  # to train on\nmodel.learn(100_000)"
        )
    else:
        stock = (
            f"from {package} import {name}\n"
            "from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize\n\n"
            'env = VecNormalize.load("vecnormalize.pkl", DummyVecEnv([make_env]))\n'
            "env.training = env.norm_reward = False  # to act; leave both as they are to train on\n"
            f'model = {name}.load("agent.zip", env=env)\n'
            "action, _ = model.predict(env.reset(), deterministic=True)"
        )
    return [("With Acclimate", ours), ("With Stable-Baselines3 alone", stock)]


def _row(task: str, agent: str, played: Evaluation) -> Row:
    summary = played.summary()
    low, high = summary["ci95"]
    return Row(
        task,
        agent,
        figure(summary["mean"]),
        figure(summary["iqm"]),
        interval(low, high),
        str(summary["episodes"]),
    )


def _mean(played: Evaluation) -> str:
    return figure(played.interval.value)


def _kept(findings: Findings) -> str:
    text = "Training found nothing better than the pretrained agent"
    if findings.too_few:
        text = f"It takes {FEWEST} episodes to judge a tuned agent, and {findings.judged} were asked for "
        text += "(`evaluation.judging_episodes`). What was kept is the pretrained agent"
    text += f", which returns {_mean(findings.target.before)} per episode."
    last, gap = findings.target.last, findings.last_difference
    if last is not None and gap is not None:
        text += f" At the end of training the agent returned {_mean(last)}: "
        text += f"{figure(gap.value, sign=True)} ({_signed(gap)})."
    return text


def _signed(gap: Estimate) -> str:
    return f"95 % interval {interval(gap.low, gap.high, sign=True)}, {gap.n} paired episodes"


def _size(gap: Estimate) -> str:
    gap = gap if gap.value >= 0 else negated(gap)
    return f"95 % interval {interval(gap.low, gap.high)}, {gap.n} paired episodes"
