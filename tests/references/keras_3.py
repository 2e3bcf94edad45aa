"""Models as Keras 3 saves them (with its torch backend), and what they answer."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from keras import layers

SEEN, ACTED = 6, 3
ACTIVATIONS = (
    "relu",
    "relu6",
    "tanh",
    "sigmoid",
    "elu",
    "selu",
    "gelu",
    "silu",
    "softplus",
    "softsign",
    "mish",
    "celu",
)


def one_head() -> keras.Model:
    """Return a policy alone, of logits."""
    return keras.Sequential(
        [layers.Input((SEEN,)), layers.Dense(16, "tanh"), layers.Dense(8, "tanh"), layers.Dense(ACTED)]
    )


def two_heads() -> keras.Model:
    """Return a policy of odds and a value on one trunk, whose activations are layers."""
    seen = layers.Input((SEEN,))
    trunk = layers.Dropout(0.5)(layers.ReLU()(layers.Dense(16, name="first")(seen)))
    trunk = layers.Activation("relu")(layers.Dense(8, use_bias=False)(trunk))
    return keras.Model(seen, [layers.Dense(ACTED, "softmax", name="pi")(trunk), layers.Dense(1, name="v")(trunk)])


def two_networks() -> keras.Model:
    """Return a policy and a value that share nothing, the value first."""
    seen = layers.Input((2, SEEN // 2))
    flat = layers.Flatten()(seen)
    action = layers.Dense(2, name="action")(layers.Dense(12, "elu", name="deep")(flat))
    value = layers.Dense(1, name="value")(layers.Dense(8, "elu")(layers.Dense(16, "elu")(flat)))
    return keras.Model(seen, {"value": value, "policy": action})


def deterministic() -> keras.Model:
    """Return an actor as DDPG and TD3 have it."""
    return keras.Sequential([layers.Input((SEEN,)), layers.Dense(16, "relu"), layers.Dense(ACTED, "tanh")])


def scaled() -> keras.Model:
    """Return the actor of Keras' example of DDPG, which ends with the highest action."""
    seen = layers.Input((SEEN,))
    return keras.Model(seen, layers.Dense(1, "tanh")(layers.Dense(16, "relu")(seen)) * 2.0)


def value() -> keras.Model:
    """Return a value network."""
    return keras.Sequential([layers.Input((SEEN,)), layers.Dense(24, "tanh"), layers.Dense(1)])


def nature() -> keras.Model:
    """Return the network of Mnih et al. (2015) with two heads, for small images."""
    seen = layers.Input((44, 44, 2))
    trunk = layers.Rescaling(1 / 255)(seen)
    for filters, size, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
        trunk = layers.Conv2D(filters, size, stride, activation="relu")(trunk)
    trunk = layers.Dense(512, "relu")(layers.Flatten()(trunk))
    return keras.Model(seen, [layers.Dense(ACTED, name="policy")(trunk), layers.Dense(1, name="value")(trunk)])


def drawn(model: keras.Model) -> None:
    """Draw its weights: by a generator that stays as it is, for the tests draw those of `nature` again."""
    draw = np.random.RandomState(0)
    for weight in model.weights:
        weight.assign(draw.uniform(-0.5, 0.5, weight.shape) * min(1.0, 4 / np.sqrt(np.prod(weight.shape[:-1]))))


def answers(model: keras.Model, seen: np.ndarray) -> dict[str, np.ndarray]:
    """Return its outputs, by what they are."""
    found = model.predict(seen, verbose=0)
    if isinstance(found, dict):
        return found
    return dict(zip(("policy", "value"), found if isinstance(found, list) else [found], strict=False))


def main(folder: Path) -> None:
    """Write them."""
    draw = np.random.RandomState(1)
    for make in (one_head, two_heads, two_networks, deterministic, scaled, value):
        model, name = make(), make.__name__
        drawn(model)
        model.save(folder / f"{name}.keras")
        seen = draw.uniform(-2, 2, (256, *model.input_shape[1:])).astype(np.float32)
        np.savez_compressed(folder / f"{name}.npz", seen=seen, **answers(model, seen))
    model = two_heads()
    drawn(model)
    model.save(folder / "two_heads.h5")
    model.save_weights(folder / "alone.weights.h5")
    model = nature()
    drawn(model)
    (folder / "nature.json").write_text(model.to_json())
    seen = draw.randint(0, 256, (256, 44, 44, 2)).astype(np.uint8)
    np.savez_compressed(folder / "nature.npz", **answers(model, seen))
    numbers = np.linspace(-8, 8, 101, dtype=np.float32)
    bent = {name: keras.ops.convert_to_numpy(keras.activations.get(name)(numbers)) for name in ACTIVATIONS}
    np.savez_compressed(folder / "activations.npz", numbers=numbers, **bent)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
