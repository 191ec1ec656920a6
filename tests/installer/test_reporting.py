# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said during a set-up, from the lines that uv really prints."""

import io
import os
from pathlib import Path

from maquette.installer.shared.reporting import DownloadProgress, DownloadState, Reporter


def test_steps_count_down(reporter: Reporter, spoken: io.StringIO) -> None:
    reporter.begin(2)
    reporter.step("The installer uv")
    reporter.step("Packages")
    assert spoken.getvalue() == "[1/2] The installer uv (1 more to come)\n[2/2] Packages (the last one)\n"


def test_megabytes_come_and_are_left() -> None:
    said: list[str] = []
    now = [0.0]
    progress = DownloadProgress(said.append, every=5.0, clock=lambda: now[0])
    progress.feed("Resolved 58 packages in 436ms")
    progress.feed("Downloading scipy (36.0MiB)")
    progress.feed("Downloading torch (0.5GiB)")
    assert said == ["58 packages to install"]
    now[0] = 6.0
    progress.tick()
    assert said[-1] == "0 of 575 MB downloaded, torch (537 MB) is the largest of 2 to come"
    now[0] = 10.0
    progress.feed(" Downloaded scipy")
    assert said[-1] == "0 of 575 MB downloaded, torch (537 MB) is the largest of 2 to come", "too soon to speak again"
    now[0] = 12.0
    progress.tick()
    assert said[-1] == "38 of 575 MB downloaded, torch (537 MB) is the largest of 1 to come, about 171 s left"
    progress.feed(" Downloaded torch")
    progress.feed("Prepared 33 packages in 13.37s")
    assert said[-1] == "575 MB downloaded"
    now[0] = 20.0
    progress.tick()
    assert said[-1] == "copying into place, 20 s so far"


def test_what_uv_has_unpacked_so_far_counts(tmp_path: Path) -> None:
    now = [0.0]
    progress = DownloadProgress(lambda line: None, tmp_path, clock=lambda: now[0])
    assert progress.state() is None
    progress.feed("Downloading scipy (36.0MB)")
    progress.feed("Downloading torch (500MB)")
    (tmp_path / ".tmpAbC" / "torch").mkdir(parents=True)
    part = tmp_path / ".tmpAbC" / "torch" / "library"
    part.touch()
    assert progress.state() == DownloadState(0.0, 536e6, 0.0, "torch")
    progress.feed(" Downloaded scipy")
    os.truncate(part, 190_000_000)
    now[0] = 4.0
    assert progress.state() == DownloadState(136e6, 536e6, 34e6, "torch")
    assert str(progress.state()) == "136 of 536 MB, 34.0 MB/s, torch"
    os.truncate(part, 2_000_000_000)
    state = progress.state()
    assert state is not None and 530e6 < state.done < 536e6, "never more than there is"
    progress.feed(" Downloaded torch")
    assert progress.state() is None


def test_files_that_wait_for_others_count_as_expected() -> None:
    progress = DownloadProgress(lambda line: None, expected=2000)
    progress.feed("Downloading torch (500MB)")
    state = progress.state()
    assert state is not None and state.total == 2000e6
    progress.feed("Downloading cublas (1600MB)")
    state = progress.state()
    assert state is not None and state.total == 2100e6


def test_a_warm_cache_is_not_called_a_download() -> None:
    said: list[str] = []
    now = [0.0]
    progress = DownloadProgress(said.append, every=5.0, clock=lambda: now[0])
    progress.feed("Resolved 58 packages in 436ms")
    now[0] = 6.0
    progress.tick()
    progress.feed("Prepared 58 packages in 3s")
    assert said == ["58 packages to install", "copying from the cache, 6 s so far"]
