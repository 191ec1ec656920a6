# SPDX-License-Identifier: GPL-3.0-or-later
"""Make tests/inference/golden/networks.npz: what the published networks answer when LiteRT and TensorFlow.js run them.

    pip install ai-edge-litert
    npm install @tensorflow/tfjs@4.22.0
    python tools/shipped/golden.py mediapipe-0.10.21-*.whl mediapipe-pose-0.5.1675469404.tgz \\
        package/models/movenet-multipose.json

The crops are cut from sample photos by indexing alone, so that they are the same wherever the test runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType  # pyright: ignore[reportMissingImports]
from maquette.demo.samples import sample_photo
from networks import published
from PIL import Image

TARGET = Path(__file__).parents[2] / "tests" / "inference" / "golden" / "networks.npz"


def crops() -> dict[str, np.ndarray]:
    """Network -> its input (1, S, S, 3) float32."""
    astronaut = np.asarray(Image.open(sample_photo("astronaut")).convert("RGB"))
    zidane = np.asarray(Image.open(sample_photo("zidane")).convert("RGB"))
    pictures = {
        "pose_landmark": astronaut[::2, ::2],
        "palm_detection": zidane[260:644:2, 896:1280:2],
        "hand_landmark": zidane[330:554, 970:1194],
    }
    return {name: picture[None].astype(np.float32) / 255 for name, picture in pictures.items()}


def run(network: bytes, picture: np.ndarray) -> list[np.ndarray]:
    """The outputs of a tflite network, by the reference kernels."""
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=network, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture)
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]


def run_movenet(model: Path) -> list[np.ndarray]:
    """Its four maps and its own last output, the people (1, 6, 56), of the same picture as the pose network's."""
    picture = (crops()["pose_landmark"] * 255).round().astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        raw, answer = Path(folder, "picture.raw"), Path(folder, "answer.json")
        raw.write_bytes(picture.tobytes())
        subprocess.run(["node", Path(__file__).with_name("movenet.mjs"), model, raw, answer], check=True)
        outputs = json.loads(answer.read_text("utf-8"))
    return [np.array(one["values"], np.float32).reshape(one["shape"]) for one in outputs]


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the golden file of the networks.")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("pose", type=Path, help="@mediapipe/pose's .tgz")
    parser.add_argument("movenet", type=Path)
    options = parser.parse_args()
    networks = published(options.wheel) | published(options.pose)
    *maps, people = run_movenet(options.movenet)
    golden = {f"people_detection_{number}": value[:, ::8, ::8] for number, value in enumerate(maps)}
    golden["people_detection_people"] = people[0, :1]
    for name, picture in crops().items():
        for number, output in enumerate(run(networks[name][1], picture)):
            # Pictures and anchors by the ten thousand: a regular part of them is as telling.
            output = output[:, ::8, ::8] if output.ndim == 4 else output[:, ::7] if output.ndim == 3 else output
            golden[f"{name}_{number}"] = output
    np.savez_compressed(TARGET, **golden)
    print(f"{TARGET}: {TARGET.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
