# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of image passes."""

from __future__ import annotations

from dataclasses import replace

from ....inference.options import Options
from ....inference.options.preprocessors import OPTIONS, THRESHOLDS
from ..shared.settings import model_choice

#: Passes that have settings for their two thresholds here, and those settings' names.
TYPED = {model: THRESHOLDS[model].names for model in ("canny", "mlsd", "lineart-standard")}
PARAMETERS = Options(
    *(replace(option, models=(model,)) for model in TYPED for option in THRESHOLDS[model]),
    # The other passes of this kind always have three levels.
    *(replace(option, models=("hed", "pidinet")) if option.name == "safe" else option for option in OPTIONS),
)
SETTINGS = Options(model_choice("maps", "What to make of the photo", default="canny", label="Pass"), *PARAMETERS)
