"""Simulations of MuJoCo that nobody looks at, without the memory of what they would be painted with."""

from __future__ import annotations

import ctypes
import mmap
import sys

import gymnasium as gym

_DONTNEED = 4
"""Linux: the pages of private memory go back to the system, and are zeros when they are read again."""
_STOCK = "gymnasium.envs.mujoco."


def drop(env: gym.Env) -> None:
    """Give back the textures of one of Gymnasium's own simulations that was made without a render mode.

    They are half of what a small simulation takes, and physics does not read them: drawn, it would be black. Other
    environments stay as they are, and so do all where the system is not Linux.

    Args:
        env: of the caller alone, who will not draw it.
    """
    world = env.unwrapped
    if sys.platform != "linux" or world.render_mode is not None or not type(world).__module__.startswith(_STOCK):
        return
    textures = getattr(getattr(world, "model", None), "tex_data", None)
    if textures is None:
        return
    # Whole pages alone: other parts of the model lie before and behind.
    begin = -(-textures.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
    size = (textures.ctypes.data + textures.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - begin
    if size > 0:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(begin), ctypes.c_size_t(size), _DONTNEED)
