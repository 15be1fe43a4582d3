"""Debian packages, fetched and unpacked once, and what of them a guest needs."""

import functools
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("WVS_VM_CACHE", ROOT / "target" / "vm"))


@functools.cache
def refresh():
    """Has apt know what there is today, before the first fetch: packages of kernels are replaced every few weeks."""
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    subprocess.run([*sudo, "apt-get", "update", "-qq"], stdout=subprocess.DEVNULL, check=False)


def unpacked(package):
    """The folder of a package's files. A fetch that is interrupted leaves nothing under that name."""
    place = CACHE / package
    if place.is_dir():
        return place
    CACHE.mkdir(parents=True, exist_ok=True)
    refresh()
    print(f"vm: fetching {package}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=CACHE) as folder:
        folder = Path(folder)
        fetch = subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, capture_output=True, text=True)
        archives = list(folder.glob("*.deb"))
        if fetch.returncode or not archives:
            sys.exit(f"vm: apt-get cannot fetch {package}: {fetch.stderr.strip()}")
        subprocess.run(["dpkg-deb", "-x", archives[0], folder / "files"], check=True)
        try:
            (folder / "files").rename(place)
        except OSError:  # Somebody else was faster.
            if not place.is_dir():
                raise
    return place


def numbers(name):
    return [int(number) for number in re.findall(r"\d+", name)]


def kernel_package(version):
    """The newest kernel of a version for virtual machines: of those that are here, else of those that apt has."""
    if version.startswith("linux-image-"):
        return version
    wanted = re.compile(rf"linux-image-{re.escape(version)}(\.\d+)*[-+].*cloud-amd64(-unsigned)?$")
    here = [place.name for place in CACHE.glob("linux-image-*") if wanted.fullmatch(place.name)]
    if here:
        return max(here, key=numbers)
    refresh()
    listed = subprocess.run(["apt-cache", "pkgnames", "linux-image-"], capture_output=True, text=True, check=True)
    offered = [name for name in listed.stdout.split() if wanted.fullmatch(name)]
    if not offered:
        sys.exit(f"vm: apt has no kernel {version} for amd64 (Debian 12 has 6.1 and, among its security updates, 6.12)")
    # Signed or not, the files are the same; a new version comes unsigned first.
    return max(offered, key=lambda name: (numbers(name), not name.endswith("-unsigned")))


class Kernel:
    """A kernel's image and modules."""

    def __init__(self, version):
        self.files = unpacked(kernel_package(version))
        self.image = next((self.files / "boot").glob("vmlinuz-*"))

    @functools.cached_property
    def paths(self):
        """Where each module is; names in the kernel have `_` where files may have `-`."""
        found = {}
        for path in self.files.glob("lib/modules/*/kernel/**/*.ko*"):
            found[path.name.split(".ko")[0].replace("-", "_")] = path
        return found

    @functools.cache
    def module(self, name):
        """Its bytes, as the kernel takes them."""
        if name not in self.paths:
            sys.exit(f"vm: {self.files.name} has no module {name}")
        packed = self.paths[name].read_bytes()
        return lzma.decompress(packed) if self.paths[name].suffix == ".xz" else packed

    def with_dependencies(self, names):
        """These modules and what they need, in an order in which they can be loaded."""
        order = {}

        def visit(name):
            if name in order:
                return
            needs = re.search(rb"\0depends=([^\0]*)\0", self.module(name))
            for needed in filter(None, needs[1].decode().split(",")) if needs else []:
                visit(needed.replace("-", "_"))
            order[name] = True

        for name in names:
            visit(name)
        return list(order)
