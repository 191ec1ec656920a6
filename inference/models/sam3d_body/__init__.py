# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of SAM 3D Body, written from a description of what it does: a backbone sees a square around somebody, and
145 tokens ask it for the parameters of MHR, a camera, and where the hands are."""
