# SPDX-License-Identifier: GPL-3.0-or-later
"""Model files in the published layout with made-up weights, those that the golden data were made with.

python3 -m installer run tests/made_up.py FOLDER hmr2 smpl      # what begins so among the models' files
"""

from __future__ import annotations

import hashlib
import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SYNTH = Path(__file__).parent / "inference" / "synth"
#: Model file -> the script that makes it, and the script's arguments before what it is to write.
FILES = {
    **{
        f"metric3d/metric_depth_vit_{size}_800k.pth": (
            "synth_depth.py",
            f"manifest-metric_depth_vit_{size}_800k.json.gz",
        )
        for size in ("small", "large", "giant2")
    },
    **{
        f"moge-2-vit{size}-normal/model.pt": ("synth_depth2.py", f"manifest-moge-2-vit{size}-normal.json.gz")
        for size in ("s", "b", "l")
    },
    **{
        f"{name}/model.safetensors": ("synth_depth2.py", f"manifest-{name}.json.gz")
        for name in ("da3-small", "da3-base")
    },
    # The same weights: the two differ in what their depth means alone.
    **{
        f"da3{kind}-large/model.safetensors": ("synth_depth2.py", "manifest-da3metric-large.json.gz")
        for kind in ("metric", "mono")
    },
    # The network of one view with the encoder of the small one, for those who put its size in the large one's place.
    **{
        f"small/da3{kind}-large/model.safetensors": ("synth_depth2.py", "manifest-da3metric-cut.json.gz")
        for kind in ("metric", "mono")
    },
    "midas/dpt_hybrid-midas-501f0c75.pt": ("synth_depth.py", "manifest-dpt_hybrid-midas-501f0c75.json.gz"),
    "midas/dpt-hybrid-midas/model.safetensors": ("synth_depth.py", "manifest-intel-dpt-hybrid-midas.json.gz"),
    "meshgraphormer/graphormer_hand_state_dict.bin": (
        "synth_weights.py",
        "graphormer",
        "manifest-graphormer-hand.json.gz",
    ),
    "meshgraphormer/mano_downsampling.npz": ("synth_hand.py",),
    "mano/MANO_RIGHT.pkl": ("synth_hand.py",),
    "hmr2/epoch=35-step=1000000.ckpt": ("synth_weights.py", "hmr2", "manifest-hmr2.json.gz"),
    "hmr2/SMPL_to_J19.pkl": ("synth_body.py",),
    "smpl/SMPL_NEUTRAL.pkl": ("synth_body.py",),
    **{
        f"sam-3d-body/{kind}/model.ckpt": ("synth_sam3d.py", f"manifest-sam3dbody-{kind}.json.gz")
        for kind in ("dinov3", "vith")
    },
    "sam-3d-body/mhr_model.pt": ("synth_mhr.py",),
    **{
        f"{name}/model.safetensors": ("synth_depth2.py", f"manifest-{name}.json.gz")
        for name in ("BiRefNet", "BiRefNet_lite")
    },
}
#: Scripts that write several files into a folder, under their published names.
FOLDERS = ("synth_hand.py", "synth_body.py")
#: Together 15 GB: they are not kept in a cache.
LARGE = (
    "metric_depth_vit_large_800k.pth", "metric_depth_vit_giant2_800k.pth", "epoch=35-step=1000000.ckpt", "model.ckpt",
    "mhr_model.pt",
)  # fmt: skip


def provide(root: Path, wanted: tuple[str, ...], cache: Path) -> None:
    """Put the files whose paths begin so into a root of model files, as links to what lies in the cache."""
    for path, (script, *arguments) in FILES.items():
        if path.startswith(wanted) and not (root / path).exists():
            name = Path(path).name
            kept = root / "made" if name in LARGE else cache
            file = made(kept, script, arguments, "folder" if script in FOLDERS else name)
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            _link(file / name if script in FOLDERS else file, root / path)


def tiny_pipeline(kind: str, cache: Path) -> Path:
    """A folder with a diffusion model of random weights, as folder and as single file of that name."""
    script = "tiny_flow_pipelines.py" if "-" in kind else "tiny_pipelines.py"
    return made(cache, script, [kind], kind, _run_here)


def small_models(kind: str, cache: Path, root: Path) -> Path:
    """A root of model files that a test may change, with small networks of a kind ("hmr2", "sam3d")."""
    shutil.copytree(made(cache, f"small_{kind}.py", [], f"small_{kind}"), root)
    return root


def fingered_bodies(root: Path) -> None:
    """Write SMPL, SMPL+H and SMPL-X of one made-up person into a root of model files; SMPL-X has 1602 vertices only."""
    import numpy as np

    sys.path.insert(0, str(SYNTH))
    try:
        made = runpy.run_path(str(SYNTH / "synth_fingers.py"))
    finally:
        sys.path.remove(str(SYNTH))
    smpl, second = made["make_smplh"]()
    smpl["J_regressor"] = smpl["J_regressor"].toarray()
    for name, content in (("smpl", smpl), ("smplh", second), ("smplx", made["make_smplx"](smpl))):
        (root / name).mkdir(parents=True)
        np.savez(root / name / f"{name.upper()}_NEUTRAL.npz", **content)


def _run(script: Path, *arguments: str) -> None:
    """In a process of its own, which gives its memory back."""
    subprocess.run([sys.executable, str(script), *arguments], cwd=SYNTH, check=True)


def _run_here(script: Path, *arguments: str) -> None:
    """In this process, because what the script imports takes longest and is needed anyway; it forbids connections."""
    before, connect, environment = sys.argv, socket.socket.connect, dict(os.environ)
    try:
        sys.argv = [str(script), *arguments]
        runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv, socket.socket.connect = before, connect
        os.environ.clear()
        os.environ.update(environment)


def made(cache: Path, script: str, arguments: list[str], name: str, run: Callable[..., None] = _run) -> Path:
    """The file (or folder) `name` in the cache, made unless script and arguments are those that made it."""
    text = (SYNTH / script).read_text("utf-8")
    own = re.findall(r"^(?:from|import) (\w+)", text, re.M)
    needed = [file for file in sorted(SYNTH.glob("*.py")) if file.name == script or file.stem in own]
    content = b"".join(file.read_bytes() for file in needed)
    content += b"".join((SYNTH / word).read_bytes() for word in arguments if word.endswith(".gz"))
    folder = cache / hashlib.sha256(content).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    if not file.exists():
        part = folder / f"part-{os.getpid()}-{name}"
        run(SYNTH / script, *arguments, str(part))
        try:
            part.replace(file)
        except OSError:  # a session beside this one made the folder meanwhile
            if not file.exists():
                raise
            shutil.rmtree(part)
    return file


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source)
    except OSError:  # Windows allows links only to some
        os.link(source, target)


if __name__ == "__main__":
    provide(Path(sys.argv[1]).absolute(), tuple(sys.argv[2:]) or ("",), Path(sys.argv[1]).absolute() / "made")
