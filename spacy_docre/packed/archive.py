"""One zip file of named members, read into memory and checked: nothing is ever extracted by name."""

import re
import zipfile
import zlib
from pathlib import Path
from typing import Dict, Sequence

from ..errors import Errors

NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.\- ]*")  # of a member's folder or file
SUFFIXES = (".json", ".cfg", ".txt", ".model", ".safetensors")
MAX_BYTES = 2**31  # of all members together, unpacked
DATE = (1980, 1, 1, 0, 0, 0)  # the same contents give the same file


def is_safe(member: str) -> bool:
    """RETURNS (bool): Whether a member's name is a relative path of plain names with a known ending."""
    return member.endswith(SUFFIXES) and all(NAME.fullmatch(part) for part in member.split("/"))


def write_archive(path: Path, members: Dict[str, bytes]) -> None:
    """Write members to a zip file, in place of an earlier file.

    RAISES (ValueError): If `read_archive` would refuse a member's name.
    """
    for name in members:
        if not is_safe(name):
            raise ValueError(Errors.R152.format(path=path, member=name))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w") as archive:
            for name, data in sorted(members.items()):
                info = zipfile.ZipInfo(name, DATE)
                archive.writestr(info, data, compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_archive(path: Path) -> Dict[str, bytes]:
    """Read all members of a zip file.

    RAISES (ValueError): If it is not a zip file, damaged, too large, or has a member with a strange name.
    """
    if not path.is_file():
        raise ValueError(Errors.R159.format(path=path, problem="no such file."))
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            _check_members(infos, path)
            return {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as e:
        raise ValueError(Errors.R159.format(path=path, problem=f"{e or 'it is damaged'}.")) from e
    except zlib.error as e:
        raise ValueError(Errors.R159.format(path=path, problem=f"it is damaged ({e}).")) from e


def _check_members(infos: Sequence[zipfile.ZipInfo], path: Path) -> None:
    """RAISES (ValueError): If the members have strange or equal names, or are too large together."""
    for info in infos:
        if not is_safe(info.filename):
            raise ValueError(Errors.R152.format(path=path, member=info.filename))
    if len({info.filename for info in infos}) < len(infos):
        raise ValueError(Errors.R159.format(path=path, problem="it has two members of one name."))
    if sum(info.file_size for info in infos) > MAX_BYTES:
        raise ValueError(Errors.R159.format(path=path, problem=f"it holds more than {MAX_BYTES:,} bytes."))
