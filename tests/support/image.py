"""Build `templates/Containerfile` without a daemon and run what is in the image: `make image`.

By buildah, as root or in a user namespace. The recipe's own lines run, on the image that it names;
only its clone comes from the commit here. Where no registry of images can be reached, Debian's
Python (by debootstrap) stands for that image.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "templates/Containerfile"
ORIGIN = "https://github.com/expci/expci"
BASE, IMAGE = "localhost/expci-base", "localhost/expci"
CERTIFICATES = "/etc/machine-certificates.crt"

# A work tree of another user, as a CI mounts one; then an experiment from its draft to a look.
INSIDE = """\
set -eu
expci --version
useradd --create-home ci
git init --quiet /work
cd /work
git config user.name ci
git config user.email ci@example.org
echo 'sleep 0.01' > build.sh
git add build.sh
git commit --quiet --message first
chown -R ci /work
expci create faster --run 'sh build.sh' --file build.sh --primary-metric duration_s \\
  --hypothesis 'The new build.sh cuts its duration by 15% within 14 days.'
echo 'sleep 0.001' > experiments/faster/treatment/build.sh
git add experiments
git commit --quiet --message 'Try a faster build'
expci start faster
expci trial faster --pairs 2
expci auto
expci status faster
"""


def run(*command: str, text: str | None = None) -> str:
    """What it printed; its errors go to the terminal."""
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, input=text)
    return done.stdout.strip()


@contextmanager
def container(image: str) -> Iterator[str]:
    name = run("buildah", "from", "--pull-never", image)
    try:
        yield name
    finally:
        run("buildah", "rm", name)


def base(scratch: Path) -> None:
    """The image that the recipe names, with the clone's address turned to the one here."""
    named = re.findall(r"^FROM (\S+)$", RECIPE.read_text(), re.MULTILINE)[0]
    pulled = subprocess.run(["buildah", "pull", "--quiet", named], capture_output=True, text=True)
    if pulled.returncode != 0:
        print(f"{named} cannot be pulled: Debian's Python stands for it", flush=True)
        named = debian(scratch)
    with container(named) as working:
        addressed = f'[url "/src"]\n\tinsteadOf = {ORIGIN}\n'
        buildah = ("buildah", "run", "--isolation", "chroot", working, "--")
        run(*buildah, "sh", "-c", "cat > /etc/gitconfig", text=addressed)
        certificates = os.environ.get("SSL_CERT_FILE", "")
        if certificates:
            run("buildah", "copy", "--quiet", working, certificates, CERTIFICATES)
            for name in ("SSL_CERT_FILE", "PIP_CERT"):
                run("buildah", "config", "--env", f"{name}={CERTIFICATES}", working)
        run("buildah", "commit", "--quiet", working, BASE)


def debian(scratch: Path) -> str:
    root = scratch / "debian"
    packages = "ca-certificates,python3,python3-pip"
    run("debootstrap", "--variant=minbase", f"--include={packages}", "stable", str(root))
    (root / "usr/bin/python").symlink_to("python3")
    for mark in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):  # the named image has none
        mark.unlink()
    working = run("buildah", "from", "scratch")
    run("buildah", "copy", "--quiet", working, str(root), "/")
    run("buildah", "commit", "--quiet", "--rm", working, f"{BASE}-debian")
    shutil.rmtree(root)
    return f"{BASE}-debian"


def main() -> None:
    commit = run("git", "-C", str(ROOT), "rev-parse", "HEAD")
    with tempfile.TemporaryDirectory(prefix="expci-image-") as place:
        scratch = Path(place)
        base(scratch)
        run("git", "clone", "--quiet", "--bare", str(ROOT), str(scratch / "src"))
        run(
            *("buildah", "build", "--isolation", "chroot", "--pull-never", "--from", BASE),
            *("--volume", f"{scratch / 'src'}:/src:ro", "--build-arg", f"COMMIT={commit}"),
            *("--tag", IMAGE, "--file", str(RECIPE), str(scratch)),
        )
    with container(IMAGE) as working:
        print(run("buildah", "run", "--isolation", "chroot", working, "--", "sh", "-c", INSIDE))
        print(run("buildah", "inspect", "--format", "command: {{.OCIv1.Config.Cmd}}", working))


if __name__ == "__main__":
    if shutil.which("buildah") is None:
        sys.exit(
            "there is no buildah on PATH: install it (Debian, Ubuntu: apt-get install buildah)"
        )
    main()
