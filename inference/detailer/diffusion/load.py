# SPDX-License-Identifier: GPL-3.0-or-later
"""From a folder or file to an engine. diffusers reads it; nothing is ever downloaded, and no code in it is run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from ...errors import BadModelFile, MaquetteError
from ...options.detail import pipeline_folder
from ...runtime import Run
from ...runtime.memory import is_out_of_memory, keep
from ...runtime.offline import offline
from ..checkpoint import Checkpoint
from . import transformer_file
from .embeddings import add_embedding
from .engine import DiffusionEngine
from .families import family_of
from .flow import FlowRepainter, load_repainter
from .heads import (
    CONTROL_REMEDY,
    REMEDY,
    check_channels,
    check_control,
    check_folder,
    check_quantised,
    class_name,
    kind_of,
    parts_of,
    read_head,
    usual_name,
)
from .lora import add_lora
from .published import config_folder, vocabulary, write_tokenizer

#: The first layer of a ControlNet's file, and the layers that give the sizes of the part that reads its picture, in the
#: namings of diffusers and of the original in both forms.
_CONTROL_STARTS = ("conv_in.", "control_model.input_blocks.0.0.", "input_blocks.0.0.")
_HINTS = (
    ("controlnet_cond_embedding.conv_in", *(f"controlnet_cond_embedding.blocks.{number}" for number in (1, 3, 5))),
    *(tuple(f"{start}input_hint_block.{number}" for number in (0, 4, 8, 12)) for start in ("control_model.", "")),
)


def load_engine(checkpoint: Checkpoint, run: Run, *, offload: bool = False) -> DiffusionEngine | FlowRepainter:
    """The engine, or what repaints for one, loaded if it is not in memory; the checkpoint's paths exist.

    offload : only the network in use lies on the device. Raises `MissingModel` and `BadModelFile`."""
    path = Path(checkpoint.path)
    files = [*{path, pipeline_folder(path)}, *(Path(file) for file, _ in checkpoint.loras)]
    files += map(Path, checkpoint.embeddings)
    files += [Path(checkpoint.controlnet)] if checkpoint.controlnet is not None else []
    states = tuple(_state(file) for file in files)
    key = ("detailer", states, str(checkpoint), run.device, run.precision, offload)
    run.report(0.0, f"Loading {path.name}")
    return keep(key, lambda: _load(checkpoint, path, run, offload))


def _state(path: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes when a file is replaced; a folder's own time does not when a file in it changes."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def _load(checkpoint: Checkpoint, path: Path, run: Run, offload: bool) -> DiffusionEngine | FlowRepainter:
    folder, file = transformer_file.split(path, checkpoint.config)
    if family_of(class_name(folder)) is not None:
        if file is None:
            check_quantised(folder)
        if checkpoint.embeddings:
            raise BadModelFile(f"{path} takes no textual inversions.", "Leave out the embeddings.")
        loras = [(Path(file), strength) for file, strength in checkpoint.loras]
        control = None if checkpoint.controlnet is None else Path(checkpoint.controlnet)
        with offline("diffusers", "transformers"):
            given: dict[str, Any] = {"transformer": file, "offload": offload}
            return _read(path, lambda: load_repainter(folder, loras, control, run, **given))
    dtype = torch.float16 if run.precision == "float16" else torch.float32
    notes = []
    with offline("diffusers", "transformers"):
        pipeline = _read(path, lambda: _pipeline(checkpoint, path, dtype))
        check_channels(pipeline.unet.config.in_channels, path)
        _check_complete(path, pipeline)
        for file, strength in checkpoint.loras:
            notes.append(_read(Path(file), lambda file=file, by=strength: add_lora(pipeline, Path(file), by)))
        learned: dict[str, dict[str, list[int]]] = {}
        for file in map(Path, checkpoint.embeddings):
            _read(file, lambda file=file: add_embedding(pipeline, file, learned))
        control = getattr(pipeline, "controlnet", None)
        if checkpoint.controlnet is not None:
            place = Path(checkpoint.controlnet)
            control = _read(place, lambda: _control(place, pipeline.unet, dtype))
    if pipeline.vae.config.get("force_upcast"):
        pipeline.vae.float()  # its values exceed the range of half precision, and the picture would be black
    networks = [getattr(pipeline, name, None) for name in ("unet", "vae", "text_encoder", "text_encoder_2")]
    for network in (*networks, control):
        if network is not None:
            network.to("cpu" if offload else run.torch_device).eval().requires_grad_(False)
    return DiffusionEngine(pipeline, control, run.torch_device, offload, tuple(filter(None, notes)), learned)


def _pipeline(checkpoint: Checkpoint, path: Path, dtype: torch.dtype) -> Any:
    if path.is_dir():
        return _from_folder(path, dtype)
    if path.suffix != ".safetensors":
        raise BadModelFile(f"{path} is not a .safetensors file.", REMEDY)
    head = read_head(path)
    with _usual_names() if head.unusual else nullcontext():
        if checkpoint.config is None:
            with config_folder(kind_of(head, path)) as config:
                return _from_file(path, config, dtype)
        config = Path(checkpoint.config).expanduser()
        check_folder(config)
        return _from_file(path, config, dtype)


@contextmanager
def _usual_names() -> Iterator[None]:
    """diffusers finds a file's tensors only under the names that Stable Diffusion was published with."""
    from diffusers.loaders import single_file

    module: Any = single_file
    read = module.load_single_file_checkpoint

    def renamed(*given: Any, **named: Any) -> dict[str, Any]:
        return {usual_name(name): tensor for name, tensor in read(*given, **named).items()}

    module.load_single_file_checkpoint = renamed
    try:
        yield
    finally:
        module.load_single_file_checkpoint = read


def _check_complete(path: Path, pipeline: Any) -> None:
    """The libraries fill what a file lacks with random numbers, or leave it empty. Raises `BadModelFile`."""
    for name, held in parts_of(path).items():
        network = getattr(pipeline, name, None)
        wanted = 0 if network is None else sum(tensor.numel() for tensor in network.parameters())
        if held < wanted:
            raise BadModelFile(f"{path} lacks {wanted - held:,} values of its {name}.", "Download it again.")


def _from_file(path: Path, config: Path, dtype: torch.dtype) -> Any:
    import diffusers

    # A single file holds no ControlNet, whatever the folder that describes it does.
    kind = getattr(diffusers, class_name(config).replace("ControlNet", ""))
    return kind.from_single_file(str(path), config=str(config), torch_dtype=dtype, local_files_only=True)


def _from_folder(path: Path, dtype: torch.dtype) -> Any:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

    check_folder(path)
    index = json.loads((path / "model_index.json").read_text("utf-8"))
    # The safety checker's network is never used here.
    parts: dict[str, Any] = {name: None for name in ("safety_checker", "feature_extractor") if name in index}
    common = {
        "torch_dtype": dtype,
        "local_files_only": True,
        "use_safetensors": True,
        "variant": _variant(path / "unet"),
    }
    with _missing_tokenizers(path, index) as tokenizers:
        return DiffusionPipeline.from_pretrained(path, **parts, **tokenizers, **common)


@contextmanager
def _missing_tokenizers(path: Path, index: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """CLIP's own tokenizers where the folder lacks one that it lists. Raises `BadModelFile` where its text encoders
    have another vocabulary."""
    from transformers import CLIPTokenizer

    names = [name for name in ("tokenizer", "tokenizer_2") if (index.get(name) or [None])[0] is not None]
    missing = [name for name in names if not any((path / name).glob("*.json"))]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="maquette-") as folder:
        for name in missing:
            config = path / name.replace("tokenizer", "text_encoder") / "config.json"
            words = json.loads(config.read_text("utf-8")).get("vocab_size", 49408) if config.is_file() else 0
            if words != len(vocabulary()):
                raise BadModelFile(f"{path} has no {name}.", "Download the whole folder.")
            write_tokenizer(Path(folder), name)
            found[name] = CLIPTokenizer.from_pretrained(Path(folder) / name)
        yield found


def _variant(folder: Path) -> str | None:
    """ "fp16" for a folder that holds only the files in half precision."""
    names = [file.name for file in folder.glob("*.safetensors")]
    return "fp16" if names and all(".fp16." in name for name in names) else None


def _control(path: Path, unet: Any, dtype: torch.dtype) -> Any:
    """A ControlNet from its folder, or from a single file: its layers are those of the UNet's first half."""
    from diffusers.models.controlnets.controlnet import ControlNetModel

    if path.is_dir():
        check_control(path, "ControlNetModel")
        common = {"torch_dtype": dtype, "local_files_only": True, "use_safetensors": True, "variant": _variant(path)}
        network: Any = ControlNetModel.from_pretrained(path, **common)
        if network.config.cross_attention_dim != unet.config.cross_attention_dim:
            raise BadModelFile(f"{path} is not a ControlNet for this model.", CONTROL_REMEDY)
        return network
    head = read_head(path)
    start = next((start for start in _CONTROL_STARTS if head.shape(start + "weight")), None)
    hints = next((names for names in _HINTS if all(head.shape(f"{name}.weight") for name in names)), None)
    if start is None or hints is None:
        raise BadModelFile(f"{path} is not a ControlNet.", CONTROL_REMEDY)
    with torch.device("meta"):
        channels = tuple(head.shape(f"{name}.weight")[0] for name in hints)
        shaped = ControlNetModel.from_unet(
            unet, conditioning_embedding_out_channels=channels, load_weights_from_unet=False
        )
    shaped.register_to_config(in_channels=head.shape(start + "weight")[1])
    with tempfile.TemporaryDirectory(prefix="maquette-") as folder:
        shaped.save_config(folder)
        return ControlNetModel.from_single_file(str(path), config=folder, torch_dtype=dtype, local_files_only=True)


def _read(path: Path, read: Callable[[], Any]) -> Any:
    """The result of `read`; the libraries' errors about a wrong file become one sentence."""
    try:
        return read()
    except (MaquetteError, ImportError):
        raise
    except Exception as error:  # the libraries raise many kinds
        if is_out_of_memory(error):
            raise
        if isinstance(error, NotImplementedError) and "meta tensor" in str(error):
            raise BadModelFile(f"{path} lacks some of the model's tensors.", "Download it again.") from error
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise BadModelFile(f"{path} cannot be loaded: {first}", REMEDY) from error
