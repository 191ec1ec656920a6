# SPDX-License-Identifier: GPL-3.0-or-later
"""Files over HTTP: resumed, checked, through proxies and mirrors."""
