"""built.py FOLDER NAME...: builds the workspace (or what WVS_BUILD says to cargo), and puts its programs and tests of
these names into the folder, without what only debuggers read."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main():
    folder, *names = sys.argv[1:]
    # All at once, as everything here is built: packages built apart would be built with other features, and twice.
    what = os.environ.get("WVS_BUILD", "--workspace --all-targets").split()
    build = subprocess.run(["cargo", "build", *what, "--message-format=json-render-diagnostics"], cwd=ROOT,
                           stdout=subprocess.PIPE, text=True)
    if build.returncode:
        return build.returncode
    paths = {}
    for line in build.stdout.splitlines():
        made = json.loads(line)
        # Programs are built a second time for tests of their own.
        if made.get("executable") and (made["target"]["kind"] == ["test"] or not made["profile"]["test"]):
            paths.setdefault(made["target"]["name"], []).append((made["manifest_path"], made["executable"]))
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        found = paths.get(name, [])
        if len(found) != 1:
            sys.exit(f"built.py: {len(found)} programs are called {name}: {found}")
        subprocess.run(["strip", "-o", Path(folder) / name, found[0][1]], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
