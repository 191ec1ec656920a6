# SPDX-License-Identifier: GPL-3.0-or-later
def fit_outlines(observed, state, masks, cameras, run, fixed_shape=False):
    return state
