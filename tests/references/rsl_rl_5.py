"""Checkpoints as rsl_rl 5.5 writes them, and what its models answer."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from rsl_rl.models.mlp_model import MLPModel
from tensordict import TensorDict

SEEN, MORE, ACTED = 6, 2, 3


def main(folder: Path) -> None:
    """Write them; of `privileged` the critic reads more than the policy."""
    torch.manual_seed(0)
    for name, normalised, privileged in (
        ("plain", False, False),
        ("normalised", True, False),
        ("privileged", True, True),
    ):
        groups = {"actor": ["policy"], "critic": ["policy", "more"] if privileged else ["policy"]}
        gaussian = {"class_name": "rsl_rl.modules.distribution:GaussianDistribution", "init_std": 0.7}
        seen = TensorDict({"policy": torch.zeros(1, SEEN), "more": torch.zeros(1, MORE)}, batch_size=[1])
        actor = MLPModel(seen, groups, "actor", ACTED, (16, 8), "elu", normalised, gaussian)
        critic = MLPModel(seen, groups, "critic", 1, (12,), "elu", normalised)
        for parameter in (*actor.mlp.parameters(), *critic.mlp.parameters()):
            parameter.data.mul_(1.5)
        if normalised:
            for _ in range(20):
                shown = rows(64)
                for model, spread in ((actor, 3.0), (critic, 2.0)):
                    keys = model.obs_groups
                    model.obs_normalizer.update(1.0 + spread * torch.cat([shown[key] for key in keys], -1))
        actor.eval()
        critic.eval()
        held = {"actor_state_dict": actor.state_dict(), "critic_state_dict": critic.state_dict()}
        torch.save({**held, "optimizer_state_dict": {}, "iter": 7, "infos": None}, folder / f"{name}.pt")
        shown = rows(256)
        with torch.no_grad():
            actions, values = actor(shown), critic(shown)
        np.savez(
            folder / f"{name}.npz", seen=shown["policy"], actions=actions, values=values[:, 0], std=np.full(ACTED, 0.7)
        )


def rows(number: int) -> TensorDict:
    """Return observations."""
    parts = {"policy": torch.randn(number, SEEN), "more": torch.randn(number, MORE)}
    return TensorDict(parts, batch_size=[number])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
