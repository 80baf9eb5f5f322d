"""Whether a folder lies on this machine, as Linux says; elsewhere it is taken to."""

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ncpfs", "fuse.sshfs", "fuse.rclone", "fuse.drivefs"}


def file_system(path: Path, mounts: str | None = None) -> str:
    """Return the kind of file system below a path that may not exist yet, such as ``ext4``; empty where unknown.

    Args:
        path: a file or folder.
        mounts: text as in proc(5), ``/proc/self/mountinfo``; None for this process' own.
    """
    resolved, kinds = path.resolve(), ("", "")
    for point, kind in _mounts(_read() if mounts is None else mounts):
        if resolved.is_relative_to(point) and len(point) >= len(kinds[0]):  # the last of equals covers the others
            kinds = point, kind
    return kinds[1]


def is_network(kind: str) -> bool:
    """Return whether a file system's locks and memory maps may not hold between machines."""
    return kind in NETWORK


def _mounts(text: str) -> list[tuple[str, str]]:
    """Return where each file system is mounted, and its kind: fields 5, and the first after the dash."""
    found = []
    for line in text.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if dash and len(fields) > 4 and after:
            found.append((_unescape(fields[4]), after.split(" ")[0]))
    return found


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def _read() -> str:
    try:
        return MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
