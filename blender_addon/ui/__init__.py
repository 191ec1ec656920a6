# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panels and operators of every room share: text in lines, and jobs as they are drawn."""
