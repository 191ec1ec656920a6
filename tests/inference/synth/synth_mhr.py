"""The made-up MHR rig as a TorchScript archive, with a program beside its tensors that must never run.
CLI: python synth_mhr.py mhr_model.pt [small]     # small: 700 vertices, for quick tests
"""
import sys

import torch
from torch import nn

import synth_sam3d

SMALL = 700


class Holder(nn.Module):
    """Holds tensors under the published names; its code says what would be noticed if it ran."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError('the program of the archive has run')


def small(rig):
    """Every 26th vertex or so of a rig: the same joints, another surface, and UVs."""
    keep = torch.linspace(0, synth_sam3d.V - 1, SMALL).long()
    place = torch.full((synth_sam3d.V,), -1)
    place[keep] = torch.arange(SMALL)
    skin = 'character_torch.linear_blend_skinning.'
    vertices = rig[skin + 'vert_indices_flattened']
    kept = place[vertices] >= 0
    out = dict(rig)
    for name in ('skin_indices_flattened', 'skin_weights_flattened'):
        out[skin + name] = rig[skin + name][kept]
    out[skin + 'vert_indices_flattened'] = place[vertices[kept]]
    blend = 'character_torch.blend_shape.'
    out[blend + 'base_shape'] = rig[blend + 'base_shape'][keep]
    out[blend + 'shape_vectors'] = rig[blend + 'shape_vectors'][:, keep].contiguous()
    out['face_expressions_model.shape_vectors'] = rig['face_expressions_model.shape_vectors'][:, keep].contiguous()
    dense = 'pose_correctives_model.pose_dirs_predictor.2.weight'
    hidden = rig['pose_correctives_model.pose_dirs_predictor.0.sparse_indices'][0] < 300      # narrower too
    out[dense] = synth_sam3d.rand('rig.small_correctives', (SMALL * 3, 300), .02)
    for name in ('sparse_indices', 'sparse_weight'):
        out['pose_correctives_model.pose_dirs_predictor.0.' + name] = out['pose_correctives_model.pose_dirs_predictor.0.' + name][..., hidden].contiguous()
    faces = torch.arange(SMALL - 2)[:, None] + torch.arange(3)
    out['character_torch.mesh.faces'] = faces.int()
    return out


def write(rig, path):
    rig = dict(rig)
    faces = rig['character_torch.mesh.faces']
    rig['character_torch.mesh.texcoords'] = torch.rand(500, 2, generator=torch.Generator().manual_seed(1))
    rig['character_torch.mesh.texcoord_faces'] = (faces % 500).int()
    root = Holder()
    for name, tensor in rig.items():
        module = root
        *parts, leaf = name.split('.')
        for part in parts:
            if part not in module._modules:
                module.add_module(part, Holder())
            module = getattr(module, part)
        module.register_buffer(leaf, tensor.contiguous())
    torch.jit.script(root).save(path)


if __name__ == '__main__':
    if len(sys.argv) > 2:
        write(small(synth_sam3d.rig(correctives=False)), sys.argv[2] if sys.argv[1] == 'small' else sys.argv[1])
    else:
        write(synth_sam3d.rig(), sys.argv[1])
