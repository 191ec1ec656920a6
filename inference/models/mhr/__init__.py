# SPDX-License-Identifier: GPL-3.0-or-later
"""The body MHR (Momentum Human Rig, Apache-2.0), in its own axes: y up, facing +z, the left side at +x; centimetres."""

from .rig import PATH, JointState, Rig, load_rig

__all__ = ["PATH", "JointState", "Rig", "load_rig"]
