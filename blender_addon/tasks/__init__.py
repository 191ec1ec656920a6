# SPDX-License-Identifier: GPL-3.0-or-later
"""One module a task: from properties to a request, and from its result to datablocks.

They are imported when a task is first run, so that registering the add-on brings in neither numpy nor `inference`.
Each has `request(properties, context) -> Request` and `build(request, inferred, scene) -> str`.
"""
