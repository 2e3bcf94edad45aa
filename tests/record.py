"""Short seeded runs as hashes, to see that a change of the code changed no number.

    python -m tests.record before.json            # at the code before
    python -m tests.record after.json before.json # at the code after: names what is no longer the same

The same machine and one thread are needed, as rounding differs between processors. Real agents come from the zoo.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
ZOO = Path(os.environ.get("ACCLIMATE_ZOO", ROOT / "shared" / "zoo"))
OLD = Path(__file__).parent / "old_runs"

# name: (zip of the zoo, environment, its change, steps)
AGENTS: dict[str, tuple[str, str, tuple[str, ...], int]] = {
    "ppo-cartpole": ("ppo/CartPole-v1_1/CartPole-v1.zip", "CartPole-v1", ("length=2",), 3000),
    "ppo-halfcheetah": ("ppo/HalfCheetah-v3_1/HalfCheetah-v3.zip", "HalfCheetah-v5", ("gravity=0.5",), 3000),
    "sac-pendulum": ("sac/Pendulum-v1_1/Pendulum-v1.zip", "Pendulum-v1", ("gravity=1.5",), 1200),
    "dqn-lunarlander": ("dqn/LunarLander-v2_1/LunarLander-v2.zip", "LunarLander-v3", ("main_engine=0.7",), 3000),
    "ppo-images": ("", "", (), 600),
}
METHODS: dict[str, tuple[Any, ...]] = {
    "full": (),
    "kl+lora": ({"kl": {"weight": 0.5}}, {"lora": {"rank": 2}}),
    "dropout": ({"dropout": {"p": 0.1, "on": "*"}},),
}
ENGINES = ("auto", "sb3")
CLOCKS = ("wall_seconds", "seconds", "cost/diagnosis_seconds", "lower")
"""What a clock says in a report or a checkpoint, and a bound that nobody reads and that only old checkpoints hold."""
RESUMED = {
    "sac": ("Pendulum-v1", "gravity=1.5", ({"lora": {"rank": 2}},), 1500),
}
"""The killed runs of `tests/old_runs`: environment, its change, methods, steps."""
CASES = [f"{agent}/{methods}/{engine}" for agent in AGENTS for methods in METHODS for engine in ENGINES]
CASES += [f"resumed/{name}" for name in RESUMED]


def digest(data: bytes) -> str:
    """Return a short hash."""
    return hashlib.sha256(data).hexdigest()[:16]


def arrays(found: dict[str, Any]) -> str:
    """Return the hash of named arrays."""
    whole = hashlib.sha256()
    for name in sorted(found):
        value = np.ascontiguousarray(found[name])
        whole.update(f"{name} {value.dtype} {value.shape}".encode() + value.tobytes())
    return whole.hexdigest()[:16]


def flat(nested: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested data as arrays with their paths."""
    if isinstance(nested, dict):
        for key, part in nested.items():
            yield from flat(part, f"{path}/{key}")
    elif isinstance(nested, list | tuple):
        for place, part in enumerate(nested):
            yield from flat(part, f"{path}/{place}")
    elif isinstance(nested, torch.Tensor):
        yield path, nested.detach().cpu().numpy()
    elif nested is not None:
        yield path, np.asarray(nested if isinstance(nested, bool | int | float) else str(nested))


def timeless(data: Any) -> Any:
    """Return nested data without what a clock says."""
    if isinstance(data, dict):
        return {key: timeless(part) for key, part in data.items() if key not in CLOCKS}
    return [timeless(part) for part in data] if isinstance(data, list) else data


def facts(case: str) -> dict[str, str]:
    """Run a case, and return the hashes of all that it found and wrote."""
    import gymnasium as gym
    from stable_baselines3 import PPO

    import acclimate as ac

    class Images(gym.Env):
        """Seeded pictures; the reward is for naming the brightest third."""

        observation_space = gym.spaces.Box(0, 255, (36, 36, 1), np.uint8)
        action_space = gym.spaces.Discrete(3)

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            super().reset(seed=seed)
            self.left = 20
            return self.picture(), {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            paid = float(action == self.bright)
            self.left -= 1
            return self.picture(), paid, False, self.left == 0, {}

        def picture(self) -> Any:
            self.bright = int(self.np_random.integers(3))
            seen = self.np_random.integers(0, 128, (36, 36, 1), dtype=np.uint8)
            seen[:, 12 * self.bright : 12 * self.bright + 12] += 90
            return seen

    warnings.simplefilter("ignore")
    if case.startswith("resumed/"):
        return dict(resumed(case.partition("/")[2]))
    agent_name, methods, engine = case.split("/")
    zipped, env, shifts, steps = AGENTS[agent_name]
    if zipped:
        agent, source = ac.load(ZOO / zipped), ac.Task(env)
        target = source.shifted(*(ac.shifts.parse(shift) for shift in shifts))
    else:
        kwargs = {"features_extractor_kwargs": {"features_dim": 16}}
        model = PPO("CnnPolicy", Images(), n_steps=64, batch_size=32, n_epochs=2, seed=0, policy_kwargs=kwargs)
        agent, source, target = ac.load(model.learn(128)), None, ac.Task(Images)
    asked = {
        "methods": [{name: fields} for each in METHODS[methods] for name, fields in each.items()],
        "steps": steps,
        "engine": engine,
        "evaluation": {"points": 2, "episodes": 2, "final_episodes": 3},
    }
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run = ac.finetune(agent, target, ac.Recipe.from_dict(asked), source=source, out=out, progress=False)
        return dict(found(run, out))


def resumed(name: str) -> Iterator[tuple[str, str]]:
    """Go on with a killed run of old code, and yield the hashes of its end."""
    import acclimate as ac

    env, shift, methods, steps = RESUMED[name]
    agent, source = ac.load(OLD / name / "agent.zip"), ac.Task(env)
    evaluation = {"points": 3, "episodes": 3, "final_episodes": 4}
    begun = {"probe_episodes": 4}  # as was the default then
    asked = {"methods": list(methods), "steps": steps, "evaluation": evaluation, "warm_start": begun}
    recipe = ac.Recipe.from_dict(asked)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        shutil.copytree(OLD / name / "killed", out)
        target = source.shifted(ac.shifts.parse(shift))
        yield from found(ac.finetune(agent, target, recipe, source=source, out=out, resume=True, progress=False), out)


def found(run: Any, out: Path) -> Iterator[tuple[str, str]]:
    """Yield the hashes of a finished run."""
    policy = {name: value.cpu().numpy() for name, value in run.agent.model.policy.state_dict().items()}
    yield "weights", arrays(policy)
    report = timeless(run.report.to_json())
    report["agent"] = Path(report["agent"]).name
    yield "report", digest(json.dumps(report, sort_keys=True).encode())
    yield "engine", str(next(why for what, *why in report["choices"] if what == "engine"))
    for path in sorted(out.rglob("*.safetensors")):
        yield str(path.relative_to(out)), digest(path.read_bytes())
    for name in ("before.json", "checkpoint/progress.json"):
        if (out / name).exists():
            data = timeless(json.loads((out / name).read_text()))
            yield name, digest(json.dumps(data, sort_keys=True).encode())
    # The agent that is kept may be the pretrained one: what was trained stands in the checkpoint.
    state = torch.load(out / "checkpoint" / "state.pt", weights_only=True)
    yield "trained", arrays(dict(flat(state)))
    yield "evaluations.npz", arrays(dict(np.load(out / "evaluations.npz")))


def safely(case: str) -> dict[str, str]:
    """Run a case; an error is a finding too."""
    try:
        return facts(case)
    except Exception as error:  # whatever it is, the other cases are still of use
        return {"error": f"{type(error).__name__}: {error}"[:300]}


def main() -> None:
    """Run all cases in two processes, write what they found as they end, and compare."""
    os.environ["OMP_NUM_THREADS"] = "1"
    chosen, now = [case for case in CASES if os.environ.get("ONLY", "") in case], {}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for case, facts_of_it in zip(chosen, pool.map(safely, chosen), strict=True):
            now[case] = facts_of_it
            Path(sys.argv[1]).write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    if len(sys.argv) > 2:
        before = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
        other = [f"{case}: {key}" for case in chosen for key in now[case] if now[case][key] != before[case].get(key)]
        missing = [f"{case}: no {key}" for case in chosen for key in before[case].keys() - now[case].keys()]
        print("\n".join(other + missing) or f"{len(chosen)} runs, all the same")
        sys.exit(bool(other or missing))


if __name__ == "__main__":
    main()
