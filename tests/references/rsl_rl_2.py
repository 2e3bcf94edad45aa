"""Checkpoints as rsl_rl 2.3 writes them, with and without its normaliser, and what its policy answers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from rsl_rl.modules.actor_critic import ActorCritic
from rsl_rl.modules.normalizer import EmpiricalNormalization

SEEN, ACTED = 6, 3


def main(folder: Path) -> None:
    """Write them."""
    torch.manual_seed(0)
    for name, normalised, kind in (("plain", False, "scalar"), ("normalised", True, "log")):
        policy = ActorCritic(
            SEEN, SEEN, ACTED, actor_hidden_dims=[16, 8], critic_hidden_dims=[12], activation="elu", noise_std_type=kind
        )
        for parameter in policy.parameters():
            parameter.data.mul_(1.5)
        scale, theirs = (EmpiricalNormalization(SEEN) for _ in range(2))
        for normalizer, spread in ((scale, 3.0), (theirs, 2.0)):
            for _ in range(20):
                normalizer(1.0 + spread * torch.randn(64, SEEN))
            normalizer.eval()
        held = {"model_state_dict": policy.state_dict(), "optimizer_state_dict": {}, "iter": 7, "infos": None}
        if normalised:
            held |= {"obs_norm_state_dict": scale.state_dict(), "privileged_obs_norm_state_dict": theirs.state_dict()}
        torch.save(held, folder / f"{name}.pt")
        seen = 1.0 + 3.0 * torch.randn(256, SEEN)
        with torch.no_grad():
            actions = policy.act_inference(scale(seen) if normalised else seen)
            values = policy.evaluate(theirs(seen) if normalised else seen)
        spread = policy.std if kind == "scalar" else policy.log_std.exp()
        np.savez(folder / f"{name}.npz", seen=seen, actions=actions, values=values[:, 0], std=spread.detach())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
