"""Reading the configuration of a project, and what a project's own files may not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex_oss.errors import ConfigInvalid
from codex_oss.policy.key_trust import may_hold_key
from codex_oss.services.settings import read_config, read_settings


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_precedence(tmp_path: Path) -> None:
    """Flags beat the environment, which beats the project's file, which beats the user's."""
    project, home = tmp_path / "project", tmp_path / "home"
    _write(home / ".config/codex-oss/config.toml", "port = 1\nupstream_retries = 1\nmax_body_bytes = 5000\n")
    _write(project / ".codex-oss/config.toml", "port = 2\nupstream_retries = 3\n")
    environ = {"HOME": str(home), "PROXY_PORT": "4"}
    assert read_config(project, {"port": 5}, environ).port == 5
    config = read_config(project, {"port": None}, environ)
    assert (config.port, config.upstream_retries, config.max_body_bytes) == (4, 3, 5000)


def test_xdg_config_home(tmp_path: Path) -> None:
    """An absolute XDG_CONFIG_HOME is used, a relative one ignored."""
    _write(tmp_path / "xdg/codex-oss/config.toml", "port = 7\n")
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert read_config(tmp_path, {}, environ).port == 7
    assert read_config(tmp_path, {}, {**environ, "XDG_CONFIG_HOME": "xdg"}).port == 4000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"port = \n", "TOML: Invalid value (at line 1, column 8)"),
        (b"port = 1\n\xff", "file: is not UTF-8 (byte 9)"),
        (b"colour = 1", "colour: unknown key; known keys: account_identity"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    """The message names the file and what is wrong in it."""
    path = tmp_path / ".codex-oss" / "config.toml"
    path.parent.mkdir()
    path.write_bytes(data)
    with pytest.raises(ConfigInvalid) as caught:
        read_config(tmp_path, {}, {"HOME": str(tmp_path)})
    assert f"{path}: {message}" in caught.value.message


def test_a_project_cannot_redirect_the_key(tmp_path: Path) -> None:
    """Addresses of the project's files are used but not trusted with keys; the user's are."""
    project, home = tmp_path / "project", tmp_path / "home"
    _write(project / ".codex-oss/config.toml", 'upstream_base = "https://evil.example/v1"\n')
    _write(project / ".codex-oss/models.toml", '[profiles.kimi]\nbase_url = "https://worse.example/v1"\n')
    _write(home / ".config/codex-oss/models.toml", '[profiles.own]\nmodel = "m"\nbase_url = "http://gpu.lan/v1"\n')
    settings = read_settings(project, {}, {"HOME": str(home)})
    assert settings.profiles["kimi"].base_url == "https://worse.example/v1"
    assert settings.profiles["glm"].base_url == "https://evil.example/v1"
    trusted = [
        url
        for url in (settings.profiles["kimi"].base_url, settings.profiles["glm"].base_url, "http://gpu.lan")
        if may_hold_key(url, settings.trusted_bases)
    ]
    assert trusted == ["http://gpu.lan"]
    placed = read_settings(project, {}, {"HOME": str(home), "UPSTREAM_BASE": "https://evil.example/v1"})
    assert may_hold_key("https://evil.example/v1", placed.trusted_bases)


@pytest.mark.parametrize(
    "named", ["/tmp/x.sqlite3", "../x.sqlite3", "x.sqlite3", ".codex-oss/state/../../x", ".codex-oss/x"]
)
def test_a_project_cannot_place_the_state(tmp_path: Path, named: str) -> None:
    """What comes with a clone may name a file in the state folder only; the user may name any."""
    project, home = tmp_path / "project", tmp_path / "home"
    _write(project / ".codex-oss/config.toml", f'state_db = "{named}"\n')
    with pytest.raises(ConfigInvalid, match=r"state_db: a project's file can only name one in \.codex-oss/state/"):
        read_config(project, {}, {"HOME": str(home)})
    assert read_config(project, {}, {"HOME": str(home), "PROXY_STATE_DB": "/tmp/y"}).state_db == "/tmp/y"
    _write(project / ".codex-oss/config.toml", 'state_db = ".codex-oss/state/mine.sqlite3"\n')
    assert read_config(project, {}, {"HOME": str(home)}).state_db == ".codex-oss/state/mine.sqlite3"
    _write(project / ".codex-oss/config.toml", "")
    _write(home / ".config/codex-oss/config.toml", f'state_db = "{named}"\n')
    assert read_config(project, {}, {"HOME": str(home)}).state_db == named


def test_a_project_cannot_say_as_whom_the_user_asks(tmp_path: Path) -> None:
    """The official client's words are only for who sets them himself."""
    project, home = tmp_path / "project", tmp_path / "home"
    _write(project / ".codex-oss/config.toml", 'account_identity = "codex"\n')
    with pytest.raises(ConfigInvalid, match="account_identity: a project's file cannot say as whom you ask"):
        read_config(project, {}, {"HOME": str(home)})
    _write(home / ".config/codex-oss/config.toml", 'account_identity = "codex"\n')
    (project / ".codex-oss/config.toml").unlink()
    assert read_config(project, {}, {"HOME": str(home)}).account_identity == "codex"


@pytest.mark.parametrize("key", ["openai_base_url", "chatgpt_base_url"])
def test_a_project_cannot_place_a_backend(tmp_path: Path, key: str) -> None:
    """What comes with a clone may not choose who gets the user's own credentials, not even on this machine."""
    project, home = tmp_path / "project", tmp_path / "home"
    _write(project / ".codex-oss/config.toml", f'{key} = "http://127.0.0.1:1/v1"\n')
    with pytest.raises(ConfigInvalid, match=f"{key}: a project's file cannot place a backend"):
        read_config(project, {}, {"HOME": str(home)})
    _write(project / ".codex-oss/config.toml", "")
    _write(home / ".config/codex-oss/config.toml", f'{key} = "http://127.0.0.1:1/v1"\n')
    assert getattr(read_config(project, {}, {"HOME": str(home)}), key) == "http://127.0.0.1:1/v1"


def test_the_open_model_of_gpt_names(tmp_path: Path) -> None:
    """The strategy `oss` wants a model that exists; the others do not look at it."""
    environ = {"HOME": str(tmp_path), "GPT_MODEL_OSS_FALLBACK": "nobody"}
    read_settings(tmp_path, {}, environ)
    with pytest.raises(ConfigInvalid, match="gpt_oss_fallback: unknown model 'nobody'"):
        read_settings(tmp_path, {}, {**environ, "GPT_MODEL_STRATEGY": "oss"})
    read_settings(tmp_path, {}, {"HOME": str(tmp_path), "GPT_MODEL_STRATEGY": "oss"})


def test_a_cap_for_a_gpt_name(tmp_path: Path) -> None:
    """MODEL_CONCURRENCY_JSON takes gpt names where they are relayed, and refuses them where nobody answers to them."""
    environ = {"HOME": str(tmp_path), "MODEL_CONCURRENCY_JSON": '{"gpt-5.5": 2}'}
    assert read_settings(tmp_path, {}, {**environ, "GPT_MODEL_STRATEGY": "passthrough"}).config.model_concurrency
    with pytest.raises(ConfigInvalid, match="unknown model"):
        read_settings(tmp_path, {}, environ)
