"""Finds the files of a corpus by name, anywhere below its folder.

The place of a file does not matter, because discs and downloads are unpacked in many ways.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ....stream.errors import DialogueError

# In order of preference.
AUDIO_SUFFIXES = (".wav", ".flac", ".sph", ".mp3", ".ogg", ".opus", ".aif", ".aiff")


class CorpusFolder:
    """All files below a folder, listed once. Hidden files are ignored.

    Raises:
        DialogueError: there is no such folder, or it holds no files.
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
        """Files whose whole name matches `pattern`, in order of their paths.

        Published corpora contain copies, so a name that occurs twice is taken once.

        Args:
            pattern: regular expression.
            example: a file name for the error message.
            distinct: refuse a name that occurs twice, for corpora where it may be of two
                recordings.
        Returns:
            The match and the path of each file.
        Raises:
            DialogueError: there are no such files, or `distinct` is set and a name occurs twice.
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
                f"{self.path}: expected files such as {example}, "
                f"got none of this form among {len(self._files)} files"
            )
        return list(found.values())

    def below(self, parent: str, pattern: str, example: str) -> list[tuple[re.Match[str], Path]]:
        """Files in folders named `parent` whose whole name matches `pattern`.

        Args:
            parent: name of the folder.
            pattern: regular expression.
            example: a file name for the error message.
        Returns:
            The match and the path of each file.
        Raises:
            DialogueError: there are no such files.
        """
        found = [
            (match, file)
            for file in self._files
            if file.parent.name == parent and (match := re.fullmatch(pattern, file.name))
        ]
        if not found:
            raise DialogueError(
                f"{self.path}: expected files such as {parent}/{example}, "
                f"got none of this form among {len(self._files)} files"
            )
        return found

    def file(self, name: str) -> Path | None:
        """A file by its name, alone or with its folder ("metadata/a.json"), or None."""
        return self._by_name.get(name)

    def audio(self, transcript: Path, *choices: tuple[str, ...]) -> tuple[Path, ...]:
        """Audio files of a conversation.

        Args:
            transcript: file of the conversation, for the error message.
            choices: alternatives, each with names without suffix, alone or with their folder:
                ("sw02001",) for one stereo file, ("a.g", "a.f") for two mono files.
        Returns:
            The files of the first choice that is complete.
        Raises:
            DialogueError: no choice is complete.
        """
        for names in choices:
            files = [file for name in names if (file := self._audio(name))]
            if len(files) == len(names):
                return tuple(files)
        wanted = " or ".join(" and ".join(names) for names in choices)
        raise DialogueError(
            f"{transcript}: expected its audio, {wanted} ({' '.join(AUDIO_SUFFIXES)}), "
            f"somewhere in {self.path}, got none"
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
    """Lines of a text file in UTF-8, or in Latin-1 as in older corpora.

    Raises:
        DialogueError: the file cannot be read.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DialogueError(f"{path}: expected a text file, got: {error.strerror}") from None
    try:
        return raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        return raw.decode("latin-1").splitlines()
