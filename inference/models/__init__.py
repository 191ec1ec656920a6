# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that more than one task uses."""

#: Mean and standard deviation of ImageNet's colours, RGB 0..1, by which most networks' pictures are normalised.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
