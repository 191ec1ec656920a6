# SPDX-License-Identifier: GPL-3.0-or-later
"""Image passes on the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import inference
from ...inference.results import MapImage
from .item import JobResult, WorkItem

if TYPE_CHECKING:
    from ..core.jobs import Report


class MapWork(WorkItem[MapImage]):
    """An image pass of one photo."""

    def of_photo(self, report: Report) -> JobResult[MapImage]:
        photo = self.source.photo()
        return JobResult(inference.make_map(photo, self.model, **self.options, **self.where(report)), photo)
