#!/usr/bin/env python3
"""Makes a disk image with mke2fs from a tree of real files of this machine: licences and documentation.

usage: disk.py IMAGE [--size 64M] [--block 1024] [--type ext2] [--tree FOLDER]
The tree (build/disk-tree) is a deterministic selection; where documentation is thin, headers and this project's own
files fill up. `all.txt` in it is all small files one after another: big enough for indirect blocks.
"""
import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("/usr/share/common-licenses", "/usr/share/doc", "/usr/share/perl", "/usr/include", str(ROOT / "docs"),
           str(ROOT / "kernel"))
FILES_WANTED = 400
BYTES_WANTED = 10 << 20
FILE_BYTES_MAX = 1 << 20
LINKS_WANTED = 20
TOGETHER_BYTES = 6 << 20
UUID = "706c616e-6172-6961-0000-000000000001"


def candidates(source):
    for folder, folders, files in os.walk(source):
        folders.sort()
        for name in sorted(files):
            yield Path(folder) / name


def take_file(path, target):
    """Copies one file, or a relative link. Returns (files, links, bytes) taken."""
    try:
        if path.is_symlink():
            to = os.readlink(path)
            if os.path.isabs(to) or ".." in to:
                return 0, 0, 0
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(to)
            return 0, 1, 0
        size = path.stat().st_size
        if not path.is_file() or not 0 < size <= FILE_BYTES_MAX:
            return 0, 0, 0
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(0o644)
        return 1, 0, size
    except OSError:
        return 0, 0, 0


def make_tree(tree):
    files = links = total = 0
    for source in SOURCES:
        taken = 0
        for path in candidates(source):
            if files >= FILES_WANTED or total >= BYTES_WANTED or taken >= FILES_WANTED * 3 // 4:
                break
            if path.is_symlink() and links >= LINKS_WANTED:
                continue
            f, l, b = take_file(path, tree / Path(source).name / path.relative_to(source))
            files, links, total, taken = files + f, links + l, total + b, taken + f
    with open(tree / "all.txt", "wb") as together:
        for path in candidates(tree):
            if together.tell() < TOGETHER_BYTES and path.is_file() and not path.is_symlink() and path.name != "all.txt":
                together.write(path.read_bytes())
    (tree / "empty").touch()
    return files


def default_tree():
    """build/disk-tree, made once."""
    tree = ROOT / "build" / "disk-tree"
    if not tree.is_dir():
        part = tree.with_name(f"disk-tree.{os.getpid()}")
        part.mkdir(parents=True)
        make_tree(part)
        try:
            part.rename(tree)
        except OSError:  # another process was faster
            shutil.rmtree(part)
    return tree


def make_disk(image, size="64M", block=None, kind="ext2", tree=None, extra=()):
    """mke2fs; the same tree gives the same image but for times."""
    part = f"{image}.{os.getpid()}"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    command = ["mke2fs", "-q", "-F", "-t", kind, "-U", UUID, "-L", "planaria", "-E", f"hash_seed={UUID}",
               *(["-b", str(block)] if block else []), *extra, "-d", str(tree or default_tree()), part, size]
    done = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    if done.returncode:
        Path(part).unlink(missing_ok=True)
        raise RuntimeError(f"mke2fs failed: {done.stderr.strip()}")
    os.replace(part, image)


def default_disk():
    """The image that `make run` uses: made once, kept until `make clean`."""
    image = ROOT / "build" / "disk.img"
    if not image.exists():
        make_disk(image)
    return image


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("image")
    parser.add_argument("--size", default="64M")
    parser.add_argument("--block", type=int)
    parser.add_argument("--type", default="ext2")
    parser.add_argument("--tree")
    arguments = parser.parse_args()
    try:
        make_disk(arguments.image, arguments.size, arguments.block, arguments.type, arguments.tree)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
