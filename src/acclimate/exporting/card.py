"""The card of a model on the Hugging Face Hub, by its own classes: what it is, what it returns, how it is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from acclimate.agents.agent import Agent
from acclimate.evaluation.evaluate import Evaluation
from acclimate.exporting.contract.contract import Contract
from acclimate.exporting.contract.run import tuning_of
from acclimate.exporting.extras import needed
from acclimate.reports.report import Report


def card_of(agent: Agent, contract: Contract, *, name: str, license: str, held: str, graph: bool) -> str:
    """Return the text of the card.

    Args:
        agent: what it is of.
        contract: what the agent expects.
        name: of the model.
        license: of the model.
        held: the file or folder that holds the agent.
        graph: whether its graph lies beside it.

    Raises:
        ExportError: The extra `hub` is not installed.
    """
    (hub,) = needed("hub", "huggingface_hub")
    run = tuning_of(agent)
    report = None if run is None else run.report
    data = hub.ModelCardData(
        license=license,
        library_name="stable-baselines3",
        pipeline_tag="reinforcement-learning",
        tags=[*_tags(contract), "reinforcement-learning", "stable-baselines3", "acclimate"],
        base_model=None if run is None else run.base_model,
        model_name=name,
        eval_results=[_result(hub, contract, *row) for row in _measured(report)] or None,
    )
    body = "\n".join([f"# {name}", "", _sentence(contract), "", *_results(report), *_use(contract, held, graph)])
    return str(hub.ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}"))


def _tags(contract: Contract) -> list[str]:
    return [each for each in (contract.history.env_id, contract.algorithm) if each]


def _sentence(contract: Contract) -> str:
    history = contract.history
    trained = f"trained for {history.steps} steps" + (f" in {history.env_id}" if history.env_id else "")
    if history.run is None:
        return f"A {contract.algorithm} agent, {trained}."
    run = history.run
    return (
        f"A {contract.algorithm} agent, {trained}, then fine-tuned for {run['steps']} steps to {run['task']} "
        f"(method: {run['method']}, seed {run['seed']}). Kept: the {run['kept']} agent; verdict: {run['verdict']}."
    )


def _measured(report: Report | None) -> Iterator[tuple[str, str, Evaluation]]:
    """Yield what was measured of the kept agent: the task in words, what is measured, its episodes."""
    if report is not None:
        yield report.task, "mean return", report.target.after
        if report.source is not None and report.source_task is not None:
            yield report.source_task, "mean return", report.source.after


def _result(hub: Any, contract: Contract, task: str, metric: str, episodes: Evaluation) -> Any:
    estimate = episodes.interval
    return hub.EvalResult(
        task_type="reinforcement-learning",
        task_name="reinforcement-learning",
        dataset_type=contract.history.env_id or task,
        dataset_name=task,
        metric_type="mean_reward",
        metric_name=f"{metric} [95 % interval] of {estimate.n} episodes",
        metric_value=_words(episodes),
    )


def _words(episodes: Evaluation) -> str:
    estimate = episodes.interval
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _results(report: Report | None) -> Iterator[str]:
    if report is None:
        return
    yield from ("## Results", "", "| task | pretrained | this agent | episodes |", "|---|--:|--:|--:|")
    sides = [(report.task, report.target), (report.source_task, report.source)]
    for task, side in sides:
        if side is not None:
            row = (task, _words(side.before), _words(side.after), len(side.after.returns))
            yield f"| {' | '.join(map(str, row))} |"
    yield from ("", "Mean return with its 95 % bootstrap interval over episodes of one training seed.", "")


def _use(contract: Contract, held: str, graph: bool) -> Iterator[str]:
    yield from ("## Use", "", f"`{held}` holds the agent, for `acclimate.load`", "")
    if graph:
        inputs = ", ".join(str(port) for port in contract.inputs)
        outputs = ", ".join(str(port) for port in contract.outputs)
        yield from (
            f"`policy.onnx` is the whole of it as one graph: {inputs} in, {outputs} out. Observations go in as the",
            "environment gives them, and actions come out as it takes them. `contract.json` says what it expects.",
            "",
        )
    if contract.guard is not None:
        guard = contract.guard
        yield from (
            f"A guard is part of the graph ({', '.join(reason.name for reason in guard.reasons)}), calibrated on "
            f"{guard.episodes} clean episodes of {guard.task} for false alarms in {100 * guard.alarms:g} % of them. "
            "`flags` tell what it refuses; `guard_out` goes in as the next `guard_in`, and zeros with `episode_start` "
            "begin an episode. It is a filter for broken sensors and changed worlds, and no proof against somebody who "
            "knows it.",
            "",
        )
    history = contract.history
    run = history.run or {}
    source, sha256 = (run.get("pretrained"), run.get("pretrained_sha256")) if run else (history.source, history.sha256)
    if source:
        yield f"Made from `{source}`" + (f", SHA-256 `{sha256}`." if sha256 else ".")
