"""A PostgreSQL server of one's own for as long as a block runs: no port, no password, nothing left behind."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

FOLDERS = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/local/bin"), Path("/usr/bin")]
START_SECONDS = 60


def why_not():
    """Return why no server can be started here, or None."""
    if find_programs() is None:
        return "PostgreSQL's initdb and postgres are not installed"
    if os.geteuid() == 0 and _user() is None:
        return "postgres refuses to run as root, and there is no user postgres or nobody"
    return None


def find_programs():
    """Return the folder that holds both programs, if there is one."""
    return next((each for each in FOLDERS if (each / "initdb").exists() and (each / "postgres").exists()), None)


@contextmanager
def running_server():
    """Yield the address of an empty database; other databases may be made beside it."""
    programs, user = find_programs(), _user() if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short, since a socket's path must be
    try:
        folder.chmod(0o755)
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
        own = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        own |= {"cwd": folder, "stdout": subprocess.DEVNULL, "env": {"PATH": os.defpath, "LC_ALL": "C"}}
        make = [programs / "initdb", "-D", folder / "data", "-U", "sbldm", "--auth=trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(make, check=True, **own)
        serve = [programs / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses=", "-F"]
        with (folder / "log").open("w") as log, subprocess.Popen(serve, stderr=log, **own) as server:
            try:
                yield _wait(f"postgresql://sbldm@/postgres?host={folder}")
            finally:
                server.send_signal(2)  # SIGINT: do not wait for clients
                server.wait(timeout=60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(url):
    import psycopg

    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url).close()
            return url
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _user():
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None
