"""Small SAM 3D Body checkpoints and a small MHR rig in the published layout, with the made-up weights' rules.
CLI: python small_sam3d.py ROOT
"""
import re, sys
from pathlib import Path

import torch

import synth_mhr
import synth_sam3d

WIDTH, TOKEN, INNER, DEPTH, LAYERS = 64, 48, 32, 2, 2
SIZES = {1280: WIDTH, 3840: 3 * WIDTH, 5120: 4 * WIDTH, 1024: TOKEN, 512: INNER, 640: WIDTH // 2, 1379: WIDTH + 99,
         18566: synth_mhr.SMALL + 127}


def rows(manifest):
    for name, shape, kind in synth_sam3d.load(manifest):
        block = re.search(r'backbone\.(?:encoder\.)?blocks\.(\d+)\.', name)
        layer = re.search(r'^decoder(?:_hand)?\.layers\.(\d+)\.', name)
        if (block and int(block[1]) >= DEPTH) or (layer and int(layer[1]) >= LAYERS):
            continue
        yield name, [8] if name.endswith('periods') else [SIZES.get(side, side) for side in shape], kind


def make(root):
    root = Path(root) / 'sam-3d-body'
    rig = synth_sam3d.rig(correctives=False)
    for kind in ('dinov3', 'vith'):
        (root / kind).mkdir(parents=True, exist_ok=True)
    synth_mhr.write(synth_mhr.small(rig), str(root / 'mhr_model.pt'))
    synth_sam3d.V = synth_mhr.SMALL
    for kind in ('dinov3', 'vith'):
        made = synth_sam3d.network(list(rows(f'manifest-sam3dbody-{kind}.json.gz')))
        torch.save(made, root / kind / 'model.ckpt')


if __name__ == '__main__':
    make(sys.argv[1])
