"""The guest's root: a cpio archive (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst)."""

import os
import re
import stat
import subprocess
from pathlib import Path


class Archive:
    """A cpio archive that is being written. Folders come with the first of their files."""

    def __init__(self, path):
        self.out = open(path, "wb")
        self.seen = set()

    def entry(self, name, mode, data=b"", device=(0, 0)):
        name = name.strip("/")
        if name in self.seen:
            return
        for parent in reversed(Path(name).parents[:-1]):
            self.folder(str(parent))
        self.seen.add(name)
        encoded = name.encode() + b"\0"
        fields = [len(self.seen), mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0]
        self.out.write(b"070701" + b"".join(b"%08x" % field for field in fields) + encoded)
        self.pad()
        self.out.write(data)
        self.pad()

    def pad(self):
        self.out.write(b"\0" * (-self.out.tell() % 4))

    def folder(self, name):
        self.entry(name, stat.S_IFDIR | 0o755)

    def device(self, name, major, minor):
        self.entry(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def link(self, name, to):
        self.entry(name, stat.S_IFLNK | 0o777, to.encode())

    def bytes(self, name, data):
        self.entry(name, stat.S_IFREG | 0o644, data)

    def file(self, name, path, mode):
        self.entry(name, stat.S_IFREG | mode, Path(path).read_bytes())

    def tree(self, root):
        """All files below a folder that are needed to run; not what is to be read."""
        for path in sorted(root.rglob("*")):
            name = str(path.relative_to(root))
            if name.startswith("usr/share/"):
                continue
            if path.is_symlink():
                self.link(name, os.readlink(path))
            elif path.is_file():
                self.file(name, path, 0o755)

    def close(self):
        self.entry("TRAILER!!!", 0)
        self.out.close()


def shared_libraries(program):
    """The libraries of this machine that a program is loaded with, and its loader; none of scripts and folders."""
    if not Path(program).is_file() or Path(program).read_bytes()[:4] != b"\x7fELF":
        return set()
    said = subprocess.run(["ldd", program], capture_output=True, text=True)
    return {Path(path) for path in re.findall(r"(/\S+) \(0x", said.stdout)}
