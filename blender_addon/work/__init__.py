# SPDX-License-Identifier: GPL-3.0-or-later
"""What the worker thread does, one file a task; nothing here imports bpy.

A work item is everything that one run of a task needs to know, gathered on the main thread and safe to read on the
worker: datablocks are named, never referenced, and looked up again when the job has ended.
"""
