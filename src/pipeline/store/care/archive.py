"""The file format of a backup: a tar of the database, the artifacts, and last a manifest with a SHA-256 of each."""

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
    """What a backup holds.

    Attributes
    ----------
    home : str
        The folder of the store, which its database records.
    made : str
        When, ISO 8601, UTC.
    damaged : list of str
        What was wrong with registered versions in the store itself.
    files : dict of str to str
        SHA-256 of each file, by its path in the store.
    """

    home: str
    made: str
    damaged: list[str]
    files: dict[str, str] = field(default_factory=dict)


class Packer:
    """Adds files to a tar, and takes their SHA-256 of the very bytes that are added.

    Parameters
    ----------
    tar : TarFile
    advance : callable
        Called with the number of bytes that were added.
    """

    def __init__(self, tar: tarfile.TarFile, advance: Callable[[int], object]) -> None:
        self.tar = tar
        self.advance = advance
        self.files: dict[str, str] = {}

    def add(self, path: Path, name: str) -> None:
        """Add a file as `name`; one that is written to meanwhile, up to where it was."""
        with path.open("rb") as file:
            info = self.tar.gettarinfo(arcname=name, fileobj=file)
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            reader = _Hashing(file, self.advance)
            try:
                self.tar.addfile(info, reader)  # type: ignore[arg-type]
            except OSError as error:
                if error.errno is not None:
                    raise
                raise StoreError(f"{path} became shorter while it was read", "run the backup again") from None
            self.files[name] = reader.digest.hexdigest()

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest."""
        described = {"format": FORMAT, **asdict(manifest), "files": self.files}
        content = json.dumps(described, indent=1, ensure_ascii=False).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mode = len(content), 0o644
        self.tar.addfile(info, io.BytesIO(content))


class _Hashing:
    """A file to read, which hashes what is read of it."""

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
    """Extract a backup and check every file against the manifest.

    Raises
    ------
    StoreError
        When it is no whole backup.
    """
    try:
        with tarfile.open(archive) as tar:
            tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4 and later have it
            for member in tar:
                if not (member.isreg() or member.isdir()):
                    raise _damaged(archive, f"{member.name} is neither file nor folder")
                if member.name.startswith("/") or ".." in member.name.split("/"):
                    raise _damaged(archive, f"{member.name} is outside the backup")
                tar.extract(member, folder)
    except FileNotFoundError as error:
        if Path(error.filename or "") == archive:
            raise StoreError(f"{archive} does not exist", "name a backup that `store.py backup` wrote") from None
        raise
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
        raise _damaged(archive, str(error).split("\n")[0].rstrip(":")) from None
    except OSError as error:
        if error.errno is None or error.filename is None:  # zlib's, tarfile's own
            raise _damaged(archive, str(error)) from None
        raise
    manifest = _manifest(archive, folder)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    for name in sorted(found ^ manifest.files.keys()):
        raise _damaged(archive, f"{name} is {'not in its manifest' if name in found else 'missing'}")
    for name, digest in manifest.files.items():
        if sha256(folder / name) != digest:
            raise _damaged(archive, f"{name} is not what was backed up (SHA-256 differs)")
    (folder / MANIFEST).unlink()
    return manifest


def _manifest(archive: Path, folder: Path) -> Manifest:
    try:
        read = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if read.pop("format") != FORMAT or DATABASE not in read["files"]:
            raise _damaged(archive, "its manifest is of another kind")
        return Manifest(**read)
    except FileNotFoundError:
        raise _damaged(archive, "it has no manifest: not a backup of a store, or cut off") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(archive, f"its manifest cannot be read: {error}") from None


def _damaged(archive: Path, why: str) -> StoreError:
    return StoreError(
        f"{archive} is no whole backup of a store: {why}",
        "take another one; the store is as it was, nothing was changed",
    )
