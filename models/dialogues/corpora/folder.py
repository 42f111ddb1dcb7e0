"""Files of a corpus, found by name wherever below its folder they lie: discs and downloads are unpacked in many ways."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ....stream.errors import DialogueError

AUDIO_SUFFIXES = (
    ".wav",
    ".flac",
    ".sph",
    ".mp3",
    ".ogg",
    ".opus",
    ".aif",
    ".aiff",
)  # the first that is there is taken


class CorpusFolder:
    """All files below a folder, listed once; hidden ones are passed over.

    Raises:
        DialogueError: no such folder, or nothing in it.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise DialogueError(f"{path}: expected the folder of a corpus, got no folder")
        self.path = path
        found = os.walk(path, followlinks=True)  # discs are often linked into one folder
        self._files = sorted(
            Path(parent, name)
            for parent, _, names in found
            for name in names
            if not name.startswith(".")
        )
        if not self._files:
            raise DialogueError(f"{path}: expected the files of a corpus, got an empty folder")
        self._by_name: dict[str, Path] = {}
        for file in reversed(self._files):
            self._by_name[file.name] = self._by_name[f"{file.parent.name}/{file.name}"] = file

    def matching(
        self, pattern: str, example: str, *, distinct: bool = False
    ) -> list[tuple[re.Match[str], Path]]:
        """Files whose whole name matches, in order of their paths.

        A name that comes twice is taken once, since published corpora hold copies; where it may be of two recordings, `distinct` refuses it.

        Raises:
            DialogueError: there are none (names the example), or `distinct` and two of the same name.
        """
        found: dict[str, tuple[re.Match[str], Path]] = {}
        for file in self._files:
            if match := re.fullmatch(pattern, file.name):
                _, first = found.setdefault(file.name, (match, file))
                if distinct and first != file:
                    raise DialogueError(
                        f"{file}: expected every file name once, got the same at {first}"
                    )
        if not found:
            raise DialogueError(
                f"{self.path}: expected files such as {example}, got none of this form among {len(self._files)} files"
            )
        return list(found.values())

    def below(self, parent: str, pattern: str, example: str) -> list[tuple[re.Match[str], Path]]:
        """Files in folders named `parent` whose whole name matches.

        Raises:
            DialogueError: there are none; names the example.
        """
        found = [
            (match, file)
            for file in self._files
            if file.parent.name == parent and (match := re.fullmatch(pattern, file.name))
        ]
        if not found:
            raise DialogueError(
                f"{self.path}: expected files such as {parent}/{example}, got none of this form among {len(self._files)} files"
            )
        return found

    def file(self, name: str) -> Path | None:
        """A file by its name, or by its folder's name and its own ("metadata/a.json")."""
        return self._by_name.get(name)

    def audio(self, transcript: Path, *choices: tuple[str, ...]) -> tuple[Path, ...]:
        """Audio files of a conversation.

        Args:
            transcript: that they belong to.
            choices: names without suffix, alone or with their folder's name: ("sw02001",) for one stereo file, ("a.g", "a.f") for two.
        Raises:
            DialogueError: none of the choices is complete.
        """
        for names in choices:
            files = [file for name in names if (file := self._audio(name))]
            if len(files) == len(names):
                return tuple(files)
        wanted = " or ".join(" and ".join(names) for names in choices)
        raise DialogueError(
            f"{transcript}: expected its audio, {wanted} ({' '.join(AUDIO_SUFFIXES)}), somewhere in {self.path}, got none"
        )

    def _audio(self, name: str) -> Path | None:
        return next(
            (
                file
                for suffix in AUDIO_SUFFIXES
                for s in (suffix, suffix.upper())
                if (file := self.file(name + s))
            ),
            None,
        )


def read_lines(path: Path) -> list[str]:
    """Lines of a text file, in UTF-8 or, as older corpora have it, Latin-1.

    Raises:
        DialogueError: it cannot be read.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DialogueError(f"{path}: expected a text file, got: {error.strerror}") from None
    try:
        return raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        return raw.decode("latin-1").splitlines()
