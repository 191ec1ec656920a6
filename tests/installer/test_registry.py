# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry: uv's own settings first, else pip's."""

from pathlib import Path

import pytest
from maquette.installer.environment.package_index import pip_options, uv_settings

MIRROR = "https://mirror.example/simple"


def test_pips_index_is_handed_to_uv(tmp_path: Path) -> None:
    settings = uv_settings({"HOME": str(tmp_path)}, f"global.index-url='{MIRROR}'\nglobal.timeout='60'\n")
    assert settings == {"UV_DEFAULT_INDEX": MIRROR}


def test_the_environment_wins_over_install_over_global() -> None:
    text = "global.index-url='a'\ninstall.index-url='b'\n:env:.index-url='c'\n"
    assert pip_options(text, {})["index-url"] == "b"
    assert pip_options(text, {"PIP_INDEX_URL": "c"})["index-url"] == "c"


def test_more_indexes_are_weighed_alike_and_folders_that_are_gone_are_left_out(tmp_path: Path) -> None:
    here, gone = tmp_path.as_uri(), (tmp_path / "gone").as_uri()
    text = f"global.extra-index-url='\\n{here}\\n{gone} {MIRROR}'\nglobal.find-links='{tmp_path / 'gone'}'"
    settings = uv_settings({"HOME": str(tmp_path)}, text)
    assert settings == {"UV_INDEX": f"{here} {MIRROR}", "UV_INDEX_STRATEGY": "unsafe-best-match"}


def test_certificates_are_taken_over_unless_there_are_some(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.touch()
    assert uv_settings({"HOME": str(tmp_path), "PIP_CERT": str(file)}, "") == {"SSL_CERT_FILE": str(file)}
    assert uv_settings({"HOME": str(tmp_path), "PIP_CERT": str(file), "SSL_CERT_FILE": "x"}, "") == {}
    assert uv_settings({"HOME": str(tmp_path), "PIP_CERT": str(tmp_path / "gone.pem")}, "") == {}


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_CONFIG_FILE", "UV_NO_INDEX"])
def test_uvs_own_settings_win(tmp_path: Path, name: str) -> None:
    assert uv_settings({"HOME": str(tmp_path), name: "x"}, f"global.index-url='{MIRROR}'") == {}


def test_uvs_configuration_file_wins(tmp_path: Path) -> None:
    (tmp_path / ".config" / "uv").mkdir(parents=True)
    (tmp_path / ".config" / "uv" / "uv.toml").touch()
    assert uv_settings({"HOME": str(tmp_path)}, f"global.index-url='{MIRROR}'") == {}
