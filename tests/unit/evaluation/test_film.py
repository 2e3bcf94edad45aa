"""Clips: of real renderers, and of those that fail in every way a renderer can."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import imageio_ffmpeg
import numpy as np
import pytest

from acclimate.evaluation import film
from acclimate.tasks.task import Task


class Drifting(gym.Env):
    """Shows its step count as brightness and its last action as colour; ends after 12 steps."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012 - as Gymnasium declares it
    observation_space = gym.spaces.Box(0.0, 100.0, (1,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.steps, self.action = 0, 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps, self.action = self.steps + 1, int(action)
        return np.full(1, self.steps, np.float32), 1.0, self.steps == 12, False, {}

    def render(self):
        picture = np.full((61, 81, 3), 10 * self.steps, np.uint8)  # odd sides, which H.264 has not
        picture[..., 0] = 250 * self.action
        return picture


class Late:
    """An agent that acts from its seventh step on."""

    observation_space, action_space, device, normalizer = Drifting.observation_space, Drifting.action_space, "cpu", None
    masked = False
    model = SimpleNamespace(policy=None, action_space=Drifting.action_space)

    def predict(self, obs, state=None, episode_start=None, deterministic=False):
        return (obs[:, 0] > 5).astype(int), None


def frames(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    shape = (meta["size"][1], meta["size"][0], 3)
    return meta, [np.frombuffer(frame, np.uint8).reshape(shape) for frame in reader]


def test_the_clip_shows_the_agents_episode_at_its_own_speed(tmp_path: Path) -> None:
    made = film.record(Late(), Task(Drifting), tmp_path / "a.mp4")
    assert made.path == tmp_path / "a.mp4"
    assert str(made) == str(tmp_path / "a.mp4")
    meta, shown = frames(made.path)
    assert (meta["codec"], meta["pix_fmt"].split("(")[0], meta["size"], meta["fps"]) == (
        "h264",
        "yuv420p",
        (80, 60),
        25.0,
    )
    assert len(shown) == 7  # steps 0, 2, ... 12 of 50 a second
    assert [frame[..., 2].mean() for frame in shown] == pytest.approx([0, 20, 40, 60, 80, 100, 120], abs=6)
    assert [frame[..., 0].mean() > 125 for frame in shown] == [False] * 4 + [True] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_long_episode_is_cut(tmp_path: Path) -> None:
    made = film.record(Late(), Task(Drifting), tmp_path / "a.mp4", seconds=0.12)
    assert len(frames(made.path)[1]) == 4  # the start and steps 2, 4 and 6


class Dying(Drifting):
    def render(self):
        ctypes.string_at(0)


class Hanging(Drifting):
    def render(self):
        time.sleep(60)


class OwnError(Exception):
    """An exception of the renderer's own."""


class Raising(Drifting):
    def render(self):
        raise OwnError("no display at :0")


class Exiting(Drifting):
    def render(self):
        os._exit(3)


class Formless(Drifting):
    def render(self):
        return np.zeros((4, 4), np.uint8)


class Blind(Drifting):
    metadata = {"render_modes": []}  # noqa: RUF012


class Broken(Drifting):
    def step(self, action):
        raise OwnError("gear")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (Dying, "the renderer was stopped by signal"),
        (Hanging, "rendering took more than 2 s"),
        (Raising, "OwnError: no display at :0"),
        (Exiting, "the renderer ended with 3"),
        (Formless, "no picture of (height, width, 3)"),
        (Blind, "renders no `rgb_array`"),
        (Broken, "step 1, raised OwnError: gear"),
    ],
)
def test_what_goes_wrong_is_a_reason(env, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if env is Hanging:
        monkeypatch.setattr(film, "PATIENCE", 2.0)
    made = film.record(Late(), Task(env), tmp_path / "a.mp4")
    assert made.path is None
    assert said in made.reason
    assert str(made).startswith("no clip: ")
    assert "\n" not in made.reason
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_a_reason(tmp_path: Path) -> None:
    made = film.record(Late(), Task(Drifting), tmp_path / "missing" / "a.mp4")
    assert made.path is None
    assert made.reason


HEADLESS = """
import os, sys
from stable_baselines3 import PPO
from acclimate import load
from acclimate.evaluation import film
from acclimate.tasks.task import Task
for name in sys.argv[2:]:
    model = PPO("MlpPolicy", name, policy_kwargs={"net_arch": [4]}, device="cpu")  # imports mujoco without MUJOCO_GL
    print(film.record(load(model), Task(name), f"{sys.argv[1]}/{name}.mp4", seconds=0.4))
    assert not os.environ.keys() & film.HEADLESS.keys(), "the caller's environment was changed"
"""


def test_real_environments_render_without_a_screen(tmp_path: Path) -> None:
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "PYOPENGL_PLATFORM", *film.HEADLESS}
    names = ["CartPole-v1", "LunarLander-v3", "Hopper-v5"]
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HEADLESS, str(tmp_path), *names],
        env={name: value for name, value in os.environ.items() if name not in hidden},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    for name in names:
        path = tmp_path / f"{name}.mp4"
        if name == "Hopper-v5" and not path.exists():
            assert "no clip: " in ran.stdout
            pytest.skip(f"no OpenGL without a screen on this machine: {ran.stdout}")
        _, shown = frames(path)
        assert len(shown) >= 5
        assert shown[0].std() > 5.0  # a picture, not a plain surface
        assert any(not np.array_equal(shown[0], frame) for frame in shown[1:])


def test_two_films_are_made_at_the_same_time(tmp_path: Path) -> None:
    films = [film.film(Late(), Task(world), tmp_path / f"{world.__name__}.mp4") for world in (Drifting, Raising)]
    made, none = (each.end() for each in films)
    assert made.path == tmp_path / "Drifting.mp4"
    assert "no display" in none.reason
    assert [path.name for path in tmp_path.iterdir()] == ["Drifting.mp4"]
