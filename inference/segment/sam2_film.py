# SPDX-License-Identifier: GPL-3.0-or-later
"""One thing through a film by SAM 2.1's memory: what it looked like in the first frame, and in the last few.

A thing that goes out of sight is found again where it comes back. The frames stream: of those gone by, only what the
network looks back at is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import torch
from torch import Tensor, nn
from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VideoModel, Sam2VisionConfig
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from ..errors import NothingFound
from ..photo import Photo
from ..results import CutOut
from ..runtime import Run
from ..runtime.memory import keep
from ..runtime.passes import check_finite, reporting
from ..weights import Published, load_network
from .edges import finished
from .sam2 import SIDE, SIZES, mask_of, picture


def build(size: str) -> nn.Module:
    """The network with its memory. What no file holds, and is computed from the sizes, is on the processor."""
    backbone = Sam2HieraDetConfig(**SIZES[size])  # type: ignore[arg-type]
    network = Sam2VideoModel(Sam2VideoConfig(vision_config=Sam2VisionConfig(backbone_config=backbone)))  # type: ignore[arg-type]
    memory: Any = network.memory_attention
    with torch.device("cpu"):
        memory.rotary_emb = type(memory.rotary_emb)(network.config)
        memory.position_ids = nn.Buffer(memory.precompute_positions(network.config), persistent=False)
    return network


class Follower:
    """Finds the thing in frame after frame. found : its cut-out in the first one, `photo`."""

    def __init__(self, photo: Photo, found: CutOut, run: Run) -> None:
        assert run.model is not None
        size, published = str(run.model.options["size"]), Published(run.model.files[0].path, dict)
        self._run = run
        self._network: Any = keep((*run.model_key, "film"), lambda: load_network(run, published, lambda: build(size)))
        self._first = next(self._network.parameters())
        device = self._first.device
        self._session: Any = Sam2VideoInferenceSession(
            None, *photo.size[::-1], inference_device=device, inference_state_device=device,
            video_storage_device=device, dtype=self._first.dtype,
        )  # fmt: skip
        self._count = 0
        mask = cv2.resize(found.mask, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) > 0.5
        thing = self._session.obj_id_to_idx(1)
        self._session.add_mask_inputs(thing, 0, torch.from_numpy(mask)[None, None].to(device))
        self._session.obj_with_new_inputs = [1]
        self._seen(photo)

    def next(self, photo: Photo, options: Mapping[str, Any]) -> CutOut:
        """The cut-out of the following frame. options : `edges` and `resolution`.

        Raises `NothingFound` where the thing is out of sight.
        """
        logits, score = self._seen(photo)
        if score < 0 or not (logits > 0).any():
            raise NothingFound("It is out of sight.", "End the clip earlier, or begin again from here.")
        mask = mask_of(logits.numpy(), photo.size)
        sure = float(torch.sigmoid(torch.tensor(score)))
        return finished(photo, mask, sure, self._run, options)

    def _seen(self, photo: Photo) -> tuple[Tensor, float]:
        """Log odds of the mask, and of the thing being in sight at all."""
        session, number = self._session, self._count
        with torch.inference_mode(), reporting(self._run, self._network.vision_encoder, "Looking at the frame"):
            stack = torch.from_numpy(picture(photo.pixels)).permute(2, 0, 1)
            answer = self._network(session, frame_idx=number, frame=stack.to(self._first.device))
        self._count += 1
        self._forget(number)
        logits, score = answer.pred_masks[0, 0].float().cpu(), answer.object_score_logits.float().cpu()
        check_finite([logits, score], self._run)
        return logits, float(score.reshape(-1)[0])

    def _forget(self, number: int) -> None:
        """Let go of what is not looked back at any more: pictures, and all of older frames but the first."""
        session = self._session
        session.processed_frames[number] = session.processed_frames[number].new_empty(0)
        config = self._network.config
        kept = max(config.num_maskmem, config.max_object_pointers_in_encoder)
        outputs = session.output_dict_per_obj[0]
        for one in (outputs["cond_frame_outputs"], outputs["non_cond_frame_outputs"]):
            if number in one:
                one[number].pop("high_res_masks", None)
        outputs["non_cond_frame_outputs"].pop(number - kept, None)
        session.processed_frames.pop(number - kept, None)
