# SPDX-License-Identifier: GPL-3.0-or-later
"""The library of models: installing, checking, repairing, deleting, and importing files from disk.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, StringProperty

from ...installer.models import catalogue, library, licences, store
from ...installer.models.catalogue import Model, in_words
from ...installer.shared.errors import SetupError
from ..core import jobs
from ..core.online import require_online
from ..ui.setup_operator import SetupOperator, setup_job
from .state import IMPORT_INSTEAD


class OneModel:
    """The model of an operator. Blender takes properties from plain classes only, not from bases that are operators."""

    model: StringProperty(
        name="Model", description="Name of the model in the catalogue, or task/name", options={"SKIP_SAVE"}
    )

    def chosen(self) -> Model:
        return library.by_id(self.model)


class MAQUETTE_OT_install_model(OneModel, SetupOperator):
    """Download the files of a model, after showing their size and licence"""

    bl_idname = "maquette.install_model"
    bl_label = "Install Model"

    file: StringProperty(
        name="File", description="A file of the model, where its name is not known", options={"SKIP_SAVE"}
    )
    accept: BoolProperty(
        name="I Accept the Licence",
        description="The licence restricts what the model is used for; your answer is remembered",
        options={"SKIP_SAVE"},
    )
    optional: BoolProperty(
        name="Optional Files",
        description="Also download files that the model can use but does not need",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, context: Any, properties: Any) -> str:
        model = _named(properties.model, properties.file)
        return f"Install {model.label}: {model.size}, {model.licence}" if model else cls.__doc__ or ""

    def chosen(self) -> Model:
        return _named(self.model, self.file) or library.by_id(self.model or self.file)

    def ask(self, context: Any, event: Any) -> set[Any]:
        self.accept = False
        return self.dialog(context, f"Install {self.chosen().label}", "Install")

    def draw(self, context: Any) -> None:
        from .page import draw_install

        draw_install(self.layout, self, self.chosen())  # type: ignore[arg-type]

    def job(self) -> jobs.Job:
        from ...installer.models import model_files

        model, optional = self.chosen(), self.optional
        if self.accept:
            licences.accept(model)
        state = library.overview(model)
        if state.to_download or (optional and state.to_add):
            require_online(IMPORT_INSTEAD)

        def work(report: jobs.Report) -> list[Path]:
            licences.require(model)
            return model_files.install(model, report, optional=optional)

        def finish(installed: list[Path]) -> str:
            return f"Installed {model.label}" if installed else f"{model.label} is already installed"

        return setup_job(f"Install {model.label}", work, finish, model.id)


class MAQUETTE_OT_repair_model(OneModel, SetupOperator):
    """Check the files of a model, and download damaged or missing ones again"""

    bl_idname = "maquette.repair_model"
    bl_label = "Repair Model"

    def job(self) -> jobs.Job:
        from ...installer.models import model_files

        model = self.chosen()
        require_online(IMPORT_INSTEAD)

        def work(report: jobs.Report) -> list[Path]:
            licences.require(model)
            return model_files.repair(model, report)

        def finish(replaced: list[Path]) -> str:
            return (
                f"{model.label}: {_files(len(replaced))} downloaded again" if replaced else f"{model.label} is intact"
            )

        return setup_job(f"Repair {model.label}", work, finish, model.id)


class MAQUETTE_OT_verify_models(OneModel, SetupOperator):
    """Check the files of a model, or of all installed models, against their checksums"""

    bl_idname = "maquette.verify_models"
    bl_label = "Verify Models"

    def job(self) -> jobs.Job:
        from ...installer.models import model_files

        model = self.chosen() if self.model else None
        candidates = model.everything if model else catalogue.files()
        present = [file for file in candidates if store.file_state(file) not in (store.MISSING, store.PARTIAL)]
        total = max(1, sum(file.about_bytes for file in present))

        def work(report: jobs.Report) -> list[Any]:
            verdicts, done = [], 0
            for file in present:

                def tell(fraction: float, line: str, before: int = done, size: int = file.about_bytes) -> None:
                    report((before + fraction * size) / total, line)

                verdicts.append(model_files.verify(file, tell))
                done += file.about_bytes
            return verdicts

        label = f"Verify {model.label}" if model else "Verify Models"
        return setup_job(label, work, lambda verdicts: _verified(verdicts, model))


def _verified(verdicts: list[Any], model: Model | None) -> str:
    """The closing line; MaquetteError with the way to repair it where something is wrong."""
    from ...inference.errors import MaquetteError
    from ...installer.models import model_files

    wrong = [verdict for verdict in verdicts if verdict.state == model_files.WRONG]
    if wrong:
        owner = model or library.needing(wrong[0].file.path)
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        remedy = f"Repair {owner.label if owner else 'it'} to download it again."
        arguments = {"model": owner.id} if owner else None
        raise MaquetteError(f"{wrong[0].why}{more}.", remedy, "maquette.repair_model", arguments)
    if not verdicts:
        return "There are no model files to verify"
    proven = sum(verdict.state == model_files.RIGHT for verdict in verdicts)
    rest = f", {len(verdicts) - proven} without a checksum to compare with" if proven < len(verdicts) else ""
    return f"{proven} of {_files(len(verdicts))} match their checksums{rest}"


class MAQUETTE_OT_delete_model(OneModel, SetupOperator):
    """Delete the files of a model from your own folder, and what was converted from them"""

    bl_idname = "maquette.delete_model"
    bl_label = "Delete Model"

    def ask(self, context: Any, event: Any) -> set[Any]:
        return self.dialog(context, f"Delete {self.chosen().label}?", "Delete")

    def draw(self, context: Any) -> None:
        from ...installer.models import model_files

        layout: Any = self.layout
        root, column = store.models_root(), layout.column(align=True)
        files = model_files.deletable(self.chosen())
        for path in files:
            size = in_words(path.stat().st_size) if path.exists() else ""
            column.label(text=f"{path.relative_to(root) if root in path.parents else path}  {size}", icon="FILE")
        if not files:
            column.label(text="None of this model's files are in your folder", icon="INFO")
        column.label(text=f"in {root}")

    def job(self) -> jobs.Job:
        from ...installer.models import model_files

        model = self.chosen()
        return setup_job(
            f"Delete {model.label}",
            lambda report: model_files.delete(model, report),
            lambda gone: f"Deleted {_files(len(gone))} of {model.label}" if gone else "There was nothing to delete",
        )


class MAQUETTE_OT_import_models(SetupOperator):
    """Import a model file, its owner's archive or a folder from this computer; files are recognized by content"""

    bl_idname = "maquette.import_models"
    bl_label = "Import Models"

    filepath: StringProperty(
        name="Path", description="A file, an archive or a folder", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    replace: BoolProperty(
        name="Replace", description="Replace a different file of that name in the library", options={"SKIP_SAVE"}
    )

    def ask(self, context: Any, event: Any) -> set[Any]:
        if self.filepath:
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def job(self) -> jobs.Job:
        from ...installer.models import importing

        path, replace = Path(bpy.path.abspath(self.filepath)), self.replace
        return setup_job(
            "Import Models", lambda report: importing.import_from(path, report, replace=replace), _imported
        )


def _imported(outcome: Any) -> str:
    names = ", ".join(dict.fromkeys(entry.file.name for entry in outcome.taken))
    line = f"Imported {names}" if names else "Everything is already in the library"
    return f"{line}; skipped {_files(len(outcome.refused), 'other ')}" if outcome.refused else line


class MAQUETTE_FH_models(bpy.types.FileHandler):
    """Model files that are dropped into a window."""

    bl_idname = "MAQUETTE_FH_models"
    bl_label = "Maquette Models"
    bl_import_operator = "maquette.import_models"
    bl_file_extensions = ".pth;.pt;.ckpt;.safetensors;.pkl"

    @classmethod
    def poll_drop(cls, context: Any) -> bool:
        return context.area is not None and context.area.type in {"VIEW_3D", "IMAGE_EDITOR", "PREFERENCES"}


class MAQUETTE_OT_cancel_library(bpy.types.Operator):
    """Stop the current download, copy or check; the downloaded part is kept for the next time"""

    bl_idname = "maquette.cancel_library"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}

    def execute(self, context: Any) -> set[Any]:
        jobs.cancel(jobs.LIBRARY)
        return {"FINISHED"}


def button_text(operator: str, arguments: Mapping[str, str]) -> str | None:
    """What the button of a remedy says where it installs or repairs a model; None for other operators, whose own label
    does."""
    verb = {"maquette.install_model": "Install", "maquette.repair_model": "Repair"}.get(operator)
    model = _named(arguments.get("model", ""), arguments.get("file", "")) if verb else None
    return f"{verb} {model.label}{'...' if verb == 'Install' else ''}" if model else None


def in_short(operator: str, arguments: Mapping[str, str]) -> tuple[str, str] | None:
    """What a missing model's error says beside the button that installs it; None for other errors."""
    if operator != "maquette.install_model":
        return None
    model = _named(arguments.get("model", ""), arguments.get("file", ""))
    return (f"{model.label} is not installed.", f"{model.size}, {model.licence}.") if model else None


def _named(model: str, file: str) -> Model | None:
    try:
        return library.by_id(model) if model else library.needing(file)
    except SetupError:
        return None


def _files(count: int, which: str = "") -> str:
    return f"{count} {which}file{'' if count == 1 else 's'}"


CLASSES = (
    MAQUETTE_OT_install_model,
    MAQUETTE_OT_repair_model,
    MAQUETTE_OT_verify_models,
    MAQUETTE_OT_delete_model,
    MAQUETTE_OT_import_models,
    MAQUETTE_OT_cancel_library,
    MAQUETTE_FH_models,
)
