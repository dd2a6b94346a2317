"""The file format of a backup: a tar of the database, the artifacts and finally a manifest with every SHA-256."""

import hashlib
import io
import json
import lzma
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import StoreError
from pipeline.support.files import sha256

DATABASE, MANIFEST, FORMAT = "mlflow.db", "manifest.json", "mlflow-store-1"


@dataclass(frozen=True)
class Manifest:
    """The description of a backup's content.

    Attributes
    ----------
    home : str
        The store's folder, as recorded in its database.
    made : str
        Time of the backup: ISO 8601, UTC.
    damaged : list of str
        Problems of registered versions that the store already had when it was backed up.
    files : dict of str to str
        SHA-256 of each file, by its path relative to the store's folder.
    """

    home: str
    made: str
    damaged: list[str]
    files: dict[str, str] = field(default_factory=dict)


class Packer:
    """A tar writer that computes the SHA-256 of each file from the bytes it adds.

    Parameters
    ----------
    tar : TarFile
    advance : callable
        Called with the number of bytes added, to report progress.
    """

    def __init__(self, tar: tarfile.TarFile, advance: Callable[[int], object]) -> None:
        self.tar = tar
        self.advance = advance
        self.files: dict[str, str] = {}

    def add(self, path: Path, name: str) -> None:
        """Add a file as `name`; if it grows meanwhile, only its size at the start is read.

        Raises
        ------
        StoreError
            If the file shrinks while it is read.
        """
        with path.open("rb") as file:
            info = self.tar.gettarinfo(arcname=name, fileobj=file)
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            reader = _HashingReader(file, self.advance)
            try:
                self.tar.addfile(info, reader)  # type: ignore[arg-type]
            except OSError as error:
                if error.errno is not None:
                    raise
                raise StoreError(f"{path} shrank while it was being read", "run the backup again") from None
            self.files[name] = reader.digest.hexdigest()

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest, which completes the backup."""
        fields = {"format": FORMAT, **asdict(manifest), "files": self.files}
        content = json.dumps(fields, indent=1, ensure_ascii=False).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mode = len(content), 0o644
        self.tar.addfile(info, io.BytesIO(content))


class _HashingReader:
    """A reader that hashes the bytes read through it."""

    def __init__(self, file: BinaryIO, advance: Callable[[int], object]) -> None:
        self.file = file
        self.advance = advance
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        content = self.file.read(size)
        self.digest.update(content)
        self.advance(len(content))
        return content


def unpack(archive: Path, folder: Path) -> Manifest:
    """Extract a backup to `folder`, verify every file against the manifest, and return the manifest.

    Raises
    ------
    StoreError
        If the archive is missing, incomplete or damaged.
    """
    try:
        with tarfile.open(archive) as tar:
            tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4 and later have it
            for member in tar:
                if not (member.isreg() or member.isdir()):
                    raise _damaged(archive, f"{member.name} is neither a file nor a folder")
                if member.name.startswith("/") or ".." in member.name.split("/"):
                    raise _damaged(archive, f"{member.name} is outside the backup")
                tar.extract(member, folder)
    except FileNotFoundError as error:
        if Path(error.filename or "") == archive:
            raise StoreError(
                f"{archive} does not exist", "give the path of a backup: python src/store.py backup"
            ) from None
        raise
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
        raise _damaged(archive, str(error).split("\n")[0].rstrip(":")) from None
    except OSError as error:
        if error.errno is None or error.filename is None:  # raised by zlib or tarfile, not by the file system
            raise _damaged(archive, str(error)) from None
        raise
    manifest = _manifest(archive, folder)
    extracted = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    for name in sorted(extracted ^ manifest.files.keys()):
        raise _damaged(archive, f"{name} is {'not in its manifest' if name in extracted else 'missing'}")
    for name, digest in manifest.files.items():
        if sha256(folder / name) != digest:
            raise _damaged(archive, f"{name} differs from its SHA-256 in the manifest")
    (folder / MANIFEST).unlink()
    return manifest


def _manifest(archive: Path, folder: Path) -> Manifest:
    try:
        fields = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if fields.pop("format") != FORMAT or DATABASE not in fields["files"]:
            raise _damaged(archive, "its manifest has another format")
        return Manifest(**fields)
    except FileNotFoundError:
        raise _damaged(archive, "it has no manifest, so it is truncated or not a backup of a store") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(archive, f"its manifest cannot be read: {error}") from None


def _damaged(archive: Path, reason: str) -> StoreError:
    return StoreError(
        f"{archive} is not a complete backup of a store: {reason}",
        "use another backup; the current store was not changed",
    )
