from pathlib import Path

import pytest

from search.file_system import file_system, is_network

MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home rw shared:2 - nfs4 server:/home rw
31 30 8:2 / /home/scratch rw - xfs /dev/sdb1 rw
32 22 0:41 / /mnt/two\040words rw - cifs //server/share rw
33 22 0:42 / /data rw - nfs server:/data rw
34 33 8:3 / /data rw - ext4 /dev/sdc1 rw
a line that is none
"""


@pytest.mark.parametrize(
    "path, kind",
    [
        ("/srv/mlruns", "ext4"),
        ("/home/anna/mlruns", "nfs4"),
        ("/home", "nfs4"),
        ("/homework/mlruns", "ext4"),
        ("/home/scratch/mlruns", "xfs"),
        ("/mnt/two words/mlruns", "cifs"),
        ("/data/mlruns", "ext4"),  # the later of two at one place covers the earlier
    ],
)
def test_the_nearest_mount_above_a_path_is_its_file_system(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind


def test_network_file_systems_are_told_from_local_ones() -> None:
    assert [kind for kind in ("nfs", "nfs4", "cifs", "fuse.sshfs") if not is_network(kind)] == []
    assert [kind for kind in ("", "ext4", "xfs", "tmpfs", "overlay", "9p", "zfs") if is_network(kind)] == []


def test_what_is_not_known_is_taken_for_local() -> None:
    assert file_system(Path("/srv"), "") == ""


def test_a_link_into_a_network_folder_lies_there(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/home/anna")
    assert file_system(tmp_path / "link" / "mlruns", MOUNTS) == "nfs4"
