"""Trains by SBX in the process of its own environment: reads an order a line, answers with a line.

{"make": {...}}    a workload as `dataclasses.asdict` has it
{"train": 150}     so many steps; answers the seconds that they took
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import TextIO

import sbx
from flax import linen

from benchmarks.peers.side import Learning
from benchmarks.peers.stock import make
from benchmarks.peers.workload import Workload

ALGORITHMS = {"ppo": sbx.PPO, "sac": sbx.SAC, "td3": sbx.TD3, "dqn": sbx.DQN}
ACTIVATIONS = {"tanh": linen.tanh, "relu": linen.relu}


def answer_all(orders: TextIO, answers: TextIO) -> None:
    """Answer until the orders end."""
    model = None
    for line in orders:
        order = json.loads(line)
        answer = {}
        if "stop" in order:
            return
        if "make" in order:
            work = Workload(**order["make"])
            model = make(work, ALGORITHMS, ACTIVATIONS[work.activation])
        elif model is not None:
            answer = dataclasses.asdict(Learning(model).train(order["train"]))
        print(json.dumps(answer), file=answers, flush=True)


def main() -> None:
    """Answer on what was the standard output: what a library prints must not be taken for an answer."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answer_all(sys.stdin, answers)


if __name__ == "__main__":
    main()
