# SPDX-License-Identifier: Apache-2.0
"""Real messages out of Debian's packages: fetched once into build/corpus/, unpacked there, never installed; afterwards nothing is fetched.

    for message in packages.messages(): ...        # [Message(name, octets)], in a fixed order

What cannot be had (no network at the first run) is said aloud and left out; the next run tries again.
"""
import collections
import fcntl
import glob
import os
import shutil
import subprocess
import sys
import tarfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(ROOT, "build", "corpus")
MIRROR = "http://deb.debian.org/debian"
RELEASE = "bookworm"

Message = collections.namedtuple("Message", "name octets")

# package, files that are messages (or parts of some: what is no message is a hard one), how many there are at least
SOURCES = (
    ("libpython3.11-testsuite", "usr/lib/python3.11/test/test_email/data/msg_*", 40),
    ("golang-github-jhillyerd-enmime-dev", "usr/share/gocode/src/github.com/jhillyerd/enmime/**/testdata/**/*.[rg]*", 90),
    ("python3-dkim", "usr/lib/python3/dist-packages/dkim/tests/data/*m[es]*", 8),
    ("mailman3", "usr/lib/python3/dist-packages/mailman/**/tests/data/*.eml", 3),
    ("spamassassin", "usr/share/doc/spamassassin/examples/sample-*", 2),
)
# the source package: only there are its test messages
NOTMUCH = ("notmuch", "test/corpora/**/*", 250)


def say(text):
    print("corpus: " + text, file=sys.stderr)


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240)
    if done.returncode != 0:
        raise OSError(f"{command[0]}: {done.stderr.strip().splitlines()[-1:]}")


def fetch_package(name, folder):
    """apt-get download, dpkg-deb -x."""
    run("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name, cwd=folder)
    for package in glob.glob(os.path.join(folder, "*.deb")):
        run("dpkg-deb", "-x", package, folder, cwd=folder)
        os.remove(package)


def fetch_source(name, folder):
    """apt-get source with lists of its own: the machine's sources are not touched."""
    sources = os.path.join(folder, "sources.list")
    with open(sources, "w", encoding="ascii") as stream:
        stream.write(f"deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {MIRROR} {RELEASE} main\n")
    os.makedirs(os.path.join(folder, "lists", "partial"))
    own = ("-q", "-o", "APT::Sandbox::User=root", "-o", "Dir::Etc::sourcelist=" + sources, "-o", "Dir::Etc::sourceparts=/dev/null",
           "-o", "Dir::State::lists=" + os.path.join(folder, "lists"), "-o", "Dir::Cache::srcpkgcache=", "-o", "Dir::Cache::pkgcache=")
    run("apt-get", *own, "update", cwd=folder)
    run("apt-get", *own, "--download-only", "source", name, cwd=folder)
    shutil.rmtree(os.path.join(folder, "lists"))
    for archive in glob.glob(os.path.join(folder, "*.orig*.tar.*")):
        if archive.endswith(".asc"):
            continue
        with tarfile.open(archive) as tar:
            wanted = [m for m in tar.getmembers() if m.isfile() and "/test/corpora/" in m.name and ".." not in m.name]
            for member in wanted:
                member.name = member.name.split("/", 1)[1]
            tar.extractall(folder, wanted)
        os.remove(archive)


def unpacked(name, fetch):
    """The folder of a package, fetched when it is not there; None when it cannot be had."""
    folder, making = os.path.join(HERE, name), os.path.join(HERE, name + ".new")
    if os.path.isdir(folder):
        return folder
    shutil.rmtree(making, ignore_errors=True)
    os.makedirs(making)
    try:
        fetch(name, making)
    except (OSError, subprocess.TimeoutExpired, tarfile.TarError) as error:
        say(f"{name} is left out: {error}")
        shutil.rmtree(making, ignore_errors=True)
        return None
    os.rename(making, folder)
    return folder


def files(folder, pattern):
    for path in sorted(glob.glob(os.path.join(folder, pattern), recursive=True)):
        if os.path.isfile(path) and not os.path.basename(path).startswith("README"):
            with open(path, "rb") as stream:
                yield path[len(folder) + 1:], stream.read()


def messages():
    os.makedirs(HERE, exist_ok=True)
    found, seen = [], set()
    with open(os.path.join(HERE, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        for (name, pattern, least), fetch in [(s, fetch_package) for s in SOURCES] + [(NOTMUCH, fetch_source)]:
            folder = unpacked(name, fetch)
            if folder is None:
                continue
            n = len(found)
            for path, octets in files(folder, pattern):
                if octets and octets not in seen:
                    seen.add(octets)
                    found.append(Message(f"{name}/{path}", octets))
            if len(found) - n < least:
                raise AssertionError(f"{name} has {len(found) - n} messages at {pattern}, want {least}: delete {folder} to fetch it again")
    return found


if __name__ == "__main__":
    counts = collections.Counter(m.name.split("/")[0] for m in messages())
    print(dict(counts), sum(counts.values()))
