# SPDX-License-Identifier: MIT
"""configuration - which servers the client knows, by names: ~/.pipeline/config.yaml, as the original package writes it.

    active_remote: "home"
    remotes:
    - alias: "home"
      token: "..."
      url: "http://127.0.0.1:8080"

PIPELINE_DIR says another folder. The file is read when something of it is first asked for, and nothing is written
but by what changes it. PyYAML reads it where that is installed; else it has to look as above.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pathlib
from typing import Any

PIPELINE_DIR = pathlib.Path(os.environ.get("PIPELINE_DIR") or pathlib.Path.home() / ".pipeline")
KEYS = ("alias", "token", "url")


class Remote:
    """A server by its base URL, and the token for it."""

    def __init__(self, alias: str | None = None, url: str = "", token: str | None = None) -> None:
        self.alias = alias
        self.url = url
        self.token = token

    def __repr__(self) -> str:
        return f"Remote(alias={self.alias!r}, url={self.url!r})"  # the token is a secret


class Configuration:
    """What the file says; ValueError when that has no meaning. What changes it writes it."""

    def __init__(self) -> None:
        self._is_loaded = False
        self._active: str | None = None
        self._remotes: list[Remote] | None = None
        self._is_debugging = os.environ.get("PIPELINE_DEBUG", "0") == "1"

    def set_debug_mode(self, debug: bool) -> None:
        """Of this process; PIPELINE_DEBUG=1 says it from the start."""
        self._is_debugging = debug

    def is_debugging(self) -> bool:
        """Whether somebody has said so."""
        return self._is_debugging

    @property
    def files_cache(self) -> pathlib.Path:
        """Where copies of files may lie."""
        return PIPELINE_DIR / "files"

    @property
    def remotes(self) -> list[Remote] | None:
        """All servers; None: there are none."""
        self._load_once()
        return self._remotes

    @property
    def active_remote(self) -> Remote | None:
        """The server that is meant where none is named: the one that was chosen, else the first; None: there is none."""
        remotes = self.remotes or []
        if self._active is None:
            return remotes[0] if remotes else None
        return next((remote for remote in remotes if remote.alias == self._active), None)

    def load(self) -> None:
        """Reads the file now."""
        path = PIPELINE_DIR / "config.yaml"
        text = ""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            text = path.read_text(encoding="utf-8")
        self._is_loaded = True
        try:
            self._active, self._remotes = understand(read_yaml(text))
        except Exception as error:  # of whatever reads YAML
            raise ValueError(f"Invalid configuration file at '{path}': {error}") from None

    def save(self) -> None:
        """Writes the file, for its owner alone, whole or not at all."""
        import tempfile  # most only read

        self._load_once()
        PIPELINE_DIR.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=PIPELINE_DIR, delete=False, encoding="ascii") as file:
            file.write(write_yaml(self._active, self._remotes))
        os.replace(file.name, PIPELINE_DIR / "config.yaml")

    def set_active_remote(self, alias: str) -> None:
        """Chooses a server. ValueError for one that is not known."""
        self._find(alias)
        self._active = alias
        self.save()

    def add_remote(self, alias: str, url: str, token: str | None = None) -> None:
        """One more; the first is chosen. ValueError for a name that there is."""
        if any(remote.alias == alias for remote in self.remotes or ()):
            raise ValueError(f"Remote with alias '{alias}' already exists")
        self._remotes = [*(self._remotes or ()), Remote(alias, url, token)]
        self._active = self._active or alias
        self.save()

    def remove_remote(self, alias: str) -> None:
        """One less. ValueError for one that is not known."""
        self._find(alias)
        self._remotes = [remote for remote in self._remotes or () if remote.alias != alias]
        self._active = None if self._active == alias else self._active
        self.save()

    def _load_once(self) -> None:
        if not self._is_loaded:
            self.load()

    def _find(self, alias: str) -> Remote:
        for remote in self.remotes or ():
            if remote.alias == alias:
                return remote
        raise ValueError(f"Remote with alias '{alias}' does not exist")


def understand(said: Any) -> tuple[str | None, list[Remote] | None]:
    """(the chosen one, all of them) of what was read. ValueError or TypeError when it says something else."""
    if said is None:
        return None, None
    remotes = said.get("remotes")
    return said.get("active_remote"), None if remotes is None else [
        Remote(**{key: str(one[key]) for key in KEYS if one.get(key) is not None}) for one in remotes]


def write_yaml(active: str | None, remotes: list[Remote] | None) -> str:
    """Text in JSON is text in YAML."""
    lines = [] if active is None else [f"active_remote: {json.dumps(active)}"]
    lines += [] if remotes is None else ["remotes:" + ("" if remotes else " []")]
    for remote in remotes or ():
        said = [f"{key}: {json.dumps(getattr(remote, key))}" for key in KEYS if getattr(remote, key) is not None]
        lines += [("- " if number == 0 else "  ") + one for number, one in enumerate(said)]
    return "\n".join([*lines, ""])


def read_yaml(text: str) -> Any:
    """What the text says. ValueError, or an exception of PyYAML's."""
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        return read_plain_yaml(text)
    return yaml.safe_load(text)


def read_plain_yaml(text: str) -> dict[str, Any] | None:
    """As write_yaml() and PyYAML write it, comments besides. ValueError for anything else."""
    said: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, colon, value = line.lstrip(" -").partition(":")
        remotes: Any = said.get("remotes")
        is_inside = line.startswith(("- ", "  "))
        if not colon or is_inside != isinstance(remotes, list):
            raise ValueError(f"line {number} is not understood without PyYAML")
        if is_inside:
            if line.lstrip().startswith("- "):
                remotes.append({})
            remotes[-1][key.strip()] = read_scalar(value.strip())
        else:
            said[key.strip()] = [] if key == "remotes" and value.strip() in ("", "[]") else read_scalar(value.strip())
    return said or None


def read_scalar(text: str) -> str | None:
    """A text of one line; None for none. ValueError for what has a meaning of its own in YAML."""
    if text.startswith('"'):
        return str(json.loads(text))
    if len(text) > 1 and text.startswith("'") and text.endswith("'"):
        return text[1:-1].replace("''", "'")
    if text.startswith(tuple("'[]{}&*!|>%@`#,")) or " #" in text or ": " in text:
        raise ValueError(f"{text} is not understood without PyYAML")
    return None if text in ("", "~", "null") else text


current_configuration = Configuration()
