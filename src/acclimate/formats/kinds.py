"""What is this file? A table of what people hand in, each known by its first bytes, the names in it, or its words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from acclimate.errors import SourceError
from acclimate.files.glimpse import Glimpse
from acclimate.formats import looks
from acclimate.formats.looks import (
    Look,
    begins,
    begins_as_text,
    either,
    folder_with,
    holds,
    holds_ending,
    says,
    says_first,
    says_some,
)


@dataclass(frozen=True)
class Kind:
    """A kind of file."""

    name: str
    """Ends the sentence "this is ..."; `{start}` are its first words, `{names}` what it holds."""
    forward: str
    """What to do where an agent was wanted."""
    look: Look
    instead: str = ""
    """What to do where this kind was wanted and another one given."""
    in_place: bool = False
    """Whether it stands in the place of another file, so that what to do is the same whatever was wanted."""


def of(glimpse: Glimpse) -> Kind:
    """Return the first kind that a file or folder looks like.

    Raises:
        SourceError: It cannot be read.
    """
    return next(kind for kind in KINDS if kind.look(glimpse))


def expect(path: Path, wanted: Kind) -> None:
    """Refuse what is another kind of file than the wanted one; what is merely broken is left to its reader.

    Raises:
        SourceError: It is another kind, or cannot be read.
    """
    glimpse = Glimpse(path)
    found = of(glimpse)
    # Their reader says more about pickles of nobody's: which global they ask for, where they break.
    if found is wanted or (found is PICKLE and wanted is not AGENT):
        return
    name = found.name.format(start=repr(glimpse.start), names=_listed(glimpse.names))
    forward = found.forward if wanted is AGENT or found.in_place else wanted.instead
    raise SourceError(f"{path}: is {name}; {forward}.")


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(ascii(name[:40])[1:-1] for name in names[:4])
    return (shown + (", ..." if len(names) > 4 else "")) or "nothing"


_SB3 = "an agent is the zip that SB3's `model.save` writes"
_COPY = "build its networks in an SB3 model, copy the weights into them and give the zip of that `model.save`"
_THEN_SAVE = "and give the zip of that `model.save`, or the model itself to `acclimate.load`"
_LOOP = "load it in the code that wrote it, and tune it in that training loop with `acclimate.attach`"
_WORLD = "it tells no spaces: name its environment, by --env or `load(..., world=Task(...))`"
_AGAIN = "copy or download it again"
_FETCH = "download the file itself (hf://org/repo does for an agent on the Hub)"
# The number that torch pickled first, before 1.6.
_BEFORE_1_6 = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

AGENT = Kind("the zip of an SB3 agent", "", either(holds("data"), holds("policy.pth")), instead=_SB3)
NORMALIZER = Kind(
    "a normaliser (SB3's VecNormalize)",
    "give the agent's zip here, and this file with --normalizer (normalizer= in Python)",
    lambda file: looks.is_normalizer(file.head),
    instead="give what SB3's `VecNormalize.save` wrote, or none for an agent that was trained without",
)
BUFFER = Kind(
    "a replay buffer",
    "give the agent's zip here, and this file with --replay-buffer (warm_start.replay_buffer in a recipe)",
    either(says_first("stable_baselines3.common.buffers", "stable_baselines3.her"), holds("pos.npy", "full.npy")),
    instead="give what SB3's `model.save_replay_buffer` wrote, or leave it out",
)
PICKLE = Kind("a pickle, and of no agent", _SB3, begins(*(b"\x80" + bytes([n]) for n in range(2, 6))))

_IN_PLACE = (
    Kind(
        "a pointer of git-annex in the place of the file",
        "`git annex get` brings it",
        lambda file: "annex/objects/" in file.link or b"/annex/objects/" in file.head[:200],
        in_place=True,
    ),
    Kind("a link to a file that is not there", "copy that file too", lambda file: bool(file.link), in_place=True),
    Kind("an empty file", _AGAIN, lambda file: not (file.is_folder or file.head), in_place=True),
    Kind(
        "a pointer of Git LFS in the place of the file",
        "`git lfs pull` brings it",
        begins(b"version https://git-lfs.github.com/spec/"),
        in_place=True,
    ),
    Kind(
        "a web page in the place of the file",
        _FETCH,
        begins_as_text(b"<!doctype html", b"<html", b"<head", b"<?xml"),
        in_place=True,
    ),
    Kind("a zip that was cut short or damaged", _AGAIN, looks.is_cut_zip, in_place=True),
    Kind("an empty zip", _AGAIN, looks.is_empty_zip, in_place=True),
    Kind(
        "a packed file (tar, gz, bz2, xz, zst, rar or 7z)",
        "unpack it, and name the file in it",
        either(
            begins(b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c"),
            lambda file: file.head[257:262] == b"ustar",
        ),
        in_place=True,
    ),
)
_OF_SB3 = (
    Kind("an agent of Stable-Baselines 2 (TensorFlow)", _COPY, holds("parameters", "parameter_list")),
    Kind("an agent of SBX, whose networks are JAX's", _COPY, looks.is_sbx),
    AGENT,
    Kind("an unpacked zip of an SB3 agent", "zip the files in it and name the zip", folder_with("policy.pth")),
    Kind(
        "a zip of the folder of an unpacked agent ({names})",
        "unpack it and zip the files in the folder, not the folder",
        looks.is_agent_in_folder,
    ),
    NORMALIZER,
    BUFFER,
    Kind(
        "a pickled agent of Stable-Baselines 2 (TensorFlow)",
        _COPY,
        either(says("stable_baselines"), says_some("stable_baselines.")),
    ),
    Kind(
        "an object of SB3, pickled as a whole",
        "open it where it was written, and give the zip of its `model.save`",
        says_first("stable_baselines3.", "sb3_contrib."),
    ),
    Kind(
        "a policy alone, as SB3's `policy.save` writes it",
        "put it into an SB3 model of its algorithm (`model.policy.load_state_dict(type(model.policy).load(FILE)"
        f".state_dict())`) {_THEN_SAVE}",
        says("state_dict", "data", "observation_space"),
    ),
)
CLEANRL = Kind(
    "the state dict of an agent of CleanRL",
    _WORLD,
    either(
        lambda file: file.path.suffix == ".cleanrl_model",
        says_some("actor_mean.", "actor_logstd", "q_network.", "network.0.", "fc_mu.", "fc_mean."),
    ),
)
RSL_RL = Kind(
    "a checkpoint of rsl_rl",
    _WORLD,
    either(says("model_state_dict", "optimizer_state_dict", "iter"), says("actor_state_dict", "iter")),
)
SB3_WEIGHTS = Kind(
    "a state dict of an SB3 policy, as a zip's `policy.pth`",
    f"put it into an SB3 model of its algorithm (`model.policy.load_state_dict(torch.load(FILE))`) {_THEN_SAVE}",
    says_some(
        *("mlp_extractor.", "action_net.", "q_net.q_net.", "quantile_net.quantile_net."),
        *("actor.latent_pi.", "actor.mu.", "critic.qf0."),
    ),
)
WEIGHTS = Kind(
    "a file of torch's, such as weights alone",
    f"say which layers are which (--spec, `load(..., spec=Spec(...))`), or {_LOOP}",
    either(holds_ending("/data.pkl"), begins(_BEFORE_1_6)),
)
SAFETENSORS = Kind(
    "a file of weights alone (safetensors)",
    f"say which layers are which (--spec, `load(..., spec=Spec(...))`), or {_LOOP}",
    looks.is_safetensors,
)
ONNX = Kind("a network of ONNX", _WORLD, looks.is_onnx)
_OF_TORCH = (
    CLEANRL,
    RSL_RL,
    SB3_WEIGHTS,
    Kind("a network of TorchScript", _LOOP, holds_ending("/constants.pkl")),
    Kind("a network of torch, pickled as a whole", _LOOP, says_some("torch.nn.modules.")),
    WEIGHTS,
)
KERAS = Kind(
    "a network of Keras",
    _WORLD,
    either(holds("config.json", "model.weights.h5"), begins(b"\x89HDF\r\n\x1a\n")),
    instead="give what `model.save('FILE.keras')` wrote in Keras",
)
_OF_OTHERS = (
    KERAS,
    Kind("a SavedModel of TensorFlow", _COPY, folder_with("saved_model.pb", "saved_model.pbtxt")),
    Kind(
        "one file of a bundle",
        "name the bundle's folder",
        lambda file: (
            not file.is_folder
            and file.path.with_name("manifest.json").is_file()
            and (looks.is_safetensors(file) or file.path.name == "manifest.json")
        ),
    ),
    SAFETENSORS,
    ONNX,
    Kind("arrays of NumPy", _SB3, either(begins(b"\x93NUMPY"), holds_ending(".npy"))),
    PICKLE,
    Kind("a zip with a zip in it ({names})", "unpack it, and name the zip in it", holds_ending(".zip")),
    Kind("a zip of other files ({names})", f"{_SB3}, with `data` and `policy.pth` in it", holds_ending("")),
    Kind("a folder with {names} in it", "it holds no agent (no bundle/, no zip)", lambda file: file.is_folder),
    Kind("a JSON text in the place of the file ({start})", _FETCH, begins_as_text(b"{", b"["), in_place=True),
    Kind("a text ({start})", _SB3, looks.is_text),
    Kind("no zip, and nothing else that is known here", _SB3, lambda file: True),
)
KINDS: tuple[Kind, ...] = (*_IN_PLACE, *_OF_SB3, *_OF_TORCH, *_OF_OTHERS)
"""In the order in which they are asked; the last one is what is left."""
