# SPDX-License-Identifier: GPL-3.0-or-later
"""The library of models: installing, checking, repairing, deleting, and taking files from disk.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, StringProperty

from ...installer.models import catalogue, library, licences, store
from ...installer.models.catalogue import Model, in_words
from ...installer.net.errors import LicenceNeeded, NeedsRegistration
from ...installer.shared.errors import SetupError
from ..core import jobs
from ..core.online import require_online
from ..ui.job_display import report_error
from .page import draw_install
from .settings import IMPORT_INSTEAD


class LibraryOperator(bpy.types.Operator):
    """Base: one job of the library's thread, waited for in a script, in the background when clicked."""

    bl_options = {"REGISTER", "INTERNAL"}
    #: Set by `invoke`: a dialog was shown, so `execute` comes from a click.
    clicked = False

    def job(self) -> jobs.Job:
        """What to do. Raises MaquetteError or SetupError where it cannot be done."""
        raise NotImplementedError

    def chosen(self) -> Model | None:
        """The model that it is done to."""
        return None

    def execute(self, context: Any) -> set[Any]:
        from ...inference.errors import MaquetteError

        try:
            job = self.job()
            if self.clicked and not bpy.app.background:
                jobs.submit(job)
                return {"FINISHED"}
            self.report({"INFO"}, jobs.run(job))
        except SetupError as error:
            return report_error(self, explained(error, self._model()))
        except MaquetteError as error:
            return report_error(self, error)
        return {"FINISHED"}

    def _model(self) -> Model | None:
        try:
            return self.chosen()
        except SetupError:  # there is none of that name
            return None

    def invoke(self, context: Any, event: Any) -> set[Any]:
        self.clicked = True
        return self.execute(context)


def explained(error: SetupError, model: Model | None = None) -> Any:
    """The error of the set-up as one with a button: where the licence or a registration is missing, the model's own."""
    from ...inference.errors import MaquetteError

    if model is not None and isinstance(error, (LicenceNeeded, NeedsRegistration)):
        return MaquetteError(error.message, error.remedy, "maquette.install_model", {"model": model.id})
    return MaquetteError(error.message, error.remedy, "maquette.open_preferences")


def library_job(label: str, work: Callable[[jobs.Report], Any], finish: Callable[[Any], str], model: Any) -> jobs.Job:
    """A job of the library's thread whose errors are those of the inference."""

    def guarded(report: jobs.Report) -> Any:
        try:
            return work(report)
        except SetupError as error:
            raise explained(error, model) from error

    return jobs.Job(label, guarded, finish, jobs.LIBRARY)


class OneModel:
    """The model of an operator. Blender takes properties from plain classes only, not from bases that are operators."""

    model: StringProperty(
        name="Model", description="Name of the model in the catalogue, or task/name", options={"SKIP_SAVE"}
    )

    def chosen(self) -> Model:
        return library.by_id(self.model)


class MAQUETTE_OT_install_model(OneModel, LibraryOperator):
    """Download the files of a model, after showing their size and licence"""

    bl_idname = "maquette.install_model"
    bl_label = "Install Model"

    file: StringProperty(
        name="File", description="A file of the model, where its name is not known", options={"SKIP_SAVE"}
    )
    accept: BoolProperty(
        name="I Accept the Licence",
        description="The licence forbids commercial use; the answer is kept",
        options={"SKIP_SAVE"},
    )
    optional: BoolProperty(
        name="Optional Files", description="Also download what the model can use beside", options={"SKIP_SAVE"}
    )

    @classmethod
    def description(cls, context: Any, properties: Any) -> str:
        model = _named(properties.model, properties.file)
        return f"Install {model.label}: {model.size}, {model.licence}" if model else cls.__doc__ or ""

    def chosen(self) -> Model:
        model = _named(self.model, self.file)
        return model if model is not None else library.by_id(self.model or self.file)

    def invoke(self, context: Any, event: Any) -> set[Any]:
        if bpy.app.background:
            return self.execute(context)
        try:
            model = self.chosen()
        except SetupError as error:
            return report_error(self, explained(error))
        self.clicked, self.accept = True, False
        return context.window_manager.invoke_props_dialog(
            self, width=460, title=f"Install {model.label}", confirm_text="Install"
        )

    def draw(self, context: Any) -> None:
        layout: Any = self.layout
        draw_install(layout, self, self.chosen())

    def job(self) -> jobs.Job:
        from ...installer.models import model_files

        model = self.chosen()
        if self.accept:
            licences.accept(model)
        licences.require(model)
        state, optional = library.overview(model), self.optional
        if state.to_download or (optional and state.to_add):
            require_online(IMPORT_INSTEAD)

        def finish(come: list[Path]) -> str:
            return f"Installed {model.label}" if come else f"{model.label} is installed"

        def work(report: jobs.Report) -> list[Path]:
            return model_files.install(model, report, optional=optional)

        return library_job(f"Install {model.label}", work, finish, model)


class MAQUETTE_OT_repair_model(OneModel, LibraryOperator):
    """Check the files of a model, and download again what is wrong or missing"""

    bl_idname = "maquette.repair_model"
    bl_label = "Repair Model"

    def job(self) -> jobs.Job:
        from ...installer.models import model_files

        model = self.chosen()
        licences.require(model)
        require_online(IMPORT_INSTEAD)

        def finish(come: list[Path]) -> str:
            return f"{model.label}: {_files(len(come))} downloaded anew" if come else f"{model.label} is whole"

        return library_job(f"Repair {model.label}", lambda report: model_files.repair(model, report), finish, model)


class MAQUETTE_OT_verify_models(OneModel, LibraryOperator):
    """Read the files of a model, or of all that are installed, and compare them with their checksums"""

    bl_idname = "maquette.verify_models"
    bl_label = "Verify Models"

    def job(self) -> jobs.Job:
        from ...installer.models import model_files

        model = self.chosen() if self.model else None
        candidates = model.everything if model else catalogue.files()
        there = [file for file in candidates if store.file_state(file) not in (store.MISSING, store.PARTIAL)]
        total = max(1, sum(file.about_bytes for file in there))

        def work(report: jobs.Report) -> list[Any]:
            verdicts, done = [], 0
            for file in there:

                def tell(fraction: float, line: str, before: int = done, size: int = file.about_bytes) -> None:
                    report((before + fraction * size) / total, line)

                verdicts.append(model_files.verify(file, tell))
                done += file.about_bytes
            return verdicts

        label = f"Verify {model.label}" if model else "Verify Models"
        return library_job(label, work, lambda verdicts: _verified(verdicts, model), model)


def _verified(verdicts: list[Any], model: Model | None) -> str:
    """The closing line; MaquetteError with the way to repair it where something is wrong."""
    from ...inference.errors import MaquetteError
    from ...installer.models import model_files

    wrong = [verdict for verdict in verdicts if verdict.state == model_files.WRONG]
    if wrong:
        owner = model or library.needing(wrong[0].file.path)
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        message = f"{wrong[0].why}{more}."
        remedy = f"Repair {owner.label if owner else 'it'}, which downloads it again."
        raise MaquetteError(message, remedy, "maquette.repair_model", {"model": owner.id} if owner else None)
    if not verdicts:
        return "There is nothing to verify"
    proven = sum(verdict.state == model_files.RIGHT for verdict in verdicts)
    rest = f", {len(verdicts) - proven} without a checksum to compare with" if proven < len(verdicts) else ""
    return f"{proven} of {len(verdicts)} files have their checksum{rest}"


class MAQUETTE_OT_delete_model(OneModel, LibraryOperator):
    """Delete the files of a model from your own folder, with what was made of them"""

    bl_idname = "maquette.delete_model"
    bl_label = "Delete Model"

    def invoke(self, context: Any, event: Any) -> set[Any]:
        if bpy.app.background:
            return self.execute(context)
        self.clicked = True
        title = f"Delete {self.chosen().label}?"
        return context.window_manager.invoke_props_dialog(self, width=460, title=title, confirm_text="Delete")

    def draw(self, context: Any) -> None:
        from ...installer.models import model_files

        going = model_files.deletable(self.chosen())
        layout: Any = self.layout
        column = layout.column(align=True)
        for path in going:
            size = in_words(path.stat().st_size) if path.exists() else ""
            shown = path.relative_to(store.models_root()) if _in_root(path) else path
            column.label(text=f"{shown}  {size}", icon="FILE")
        if not going:
            column.label(text="Nothing of it lies in your own folder", icon="INFO")
        column.label(text=f"in {store.models_root()}")

    def job(self) -> jobs.Job:
        from ...installer.models import model_files

        model = self.chosen()
        return library_job(
            f"Delete {model.label}",
            lambda report: model_files.delete(model, report),
            lambda gone: f"{_files(len(gone))} of {model.label} deleted" if gone else "There was nothing to delete",
            model,
        )


class MAQUETTE_OT_import_models(LibraryOperator):
    """Take model files from this computer: a file, its owner's archive, or a folder. They are told by their content"""

    bl_idname = "maquette.import_models"
    bl_label = "Import Models"

    filepath: StringProperty(
        name="Path", description="A file, an archive or a folder", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    replace: BoolProperty(
        name="Replace", description="Also where another file of that name is in the library", options={"SKIP_SAVE"}
    )

    def invoke(self, context: Any, event: Any) -> set[Any]:
        if bpy.app.background:
            return self.execute(context)
        self.clicked = True
        if not self.filepath:
            context.window_manager.fileselect_add(self)
            return {"RUNNING_MODAL"}
        return self.execute(context)

    def job(self) -> jobs.Job:
        from ...installer.models import importing

        path, replace = Path(bpy.path.abspath(self.filepath)), self.replace
        return library_job(
            "Import Models", lambda report: importing.import_from(path, report, replace=replace), _imported, None
        )


def _imported(outcome: Any) -> str:
    taken = ", ".join(dict.fromkeys(entry.file.name for entry in outcome.taken))
    line = f"Imported {taken}" if taken else "Everything is in the library already"
    if outcome.refused:
        others = len(outcome.refused)
        line += f"; {others} other {'file was' if others == 1 else 'files were'} not taken"
    return line


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
    """Stop what is being downloaded, copied or checked; what has come is kept for the next time"""

    bl_idname = "maquette.cancel_library"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}

    def execute(self, context: Any) -> set[Any]:
        jobs.cancel(jobs.LIBRARY)
        return {"FINISHED"}


def _named(model: str, file: str) -> Model | None:
    try:
        return library.by_id(model) if model else library.needing(file)
    except SetupError:
        return None


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def button_text(operator: str, arguments: Mapping[str, str]) -> str | None:
    """What a button that mends a missing or damaged model says; None for other operators, which say it themselves."""
    verb = {"maquette.install_model": "Install", "maquette.repair_model": "Repair"}.get(operator)
    model = _named(arguments.get("model", ""), arguments.get("file", "")) if verb else None
    return f"{verb} {model.label}{'...' if verb == 'Install' else ''}" if model else None


def _in_root(path: Path) -> bool:
    return store.models_root() in path.parents


CLASSES = (
    MAQUETTE_OT_install_model,
    MAQUETTE_OT_repair_model,
    MAQUETTE_OT_verify_models,
    MAQUETTE_OT_delete_model,
    MAQUETTE_OT_import_models,
    MAQUETTE_OT_cancel_library,
    MAQUETTE_FH_models,
)
