"""What the file system must hold after a cut: a model of the operations, independent of the code under test.

An operation is a line of words, the same that fs_host.c performs. Model.tree() is the tree as fs_host.c shows it: path ->
(kind, links, mode, content). The promise: after a cut the volume holds the first n operations, wholly and no others, and n is
at least the number of those that a sync had acknowledged before the cut.
"""
from functools import lru_cache

SECTOR = 512


class Refused(Exception):
    """The operation is not possible. `missing`: (path, kind) that would have to exist, or None."""

    def __init__(self, text, missing=None):
        super().__init__(text)
        self.missing = missing


@lru_cache(maxsize=None)
def content(length, pattern):
    """The same bytes as fill() in fs_host.c."""
    return bytes((pattern * 37 + (i & 0xFF) * 7 + (i >> 8) * 11 + 1) & 0xFF for i in range(length))


class Node:
    def __init__(self, kind, mode, data=b""):
        self.kind, self.mode, self.data, self.links = kind, mode, data, 1
        self.entries = {}


class Model:
    def __init__(self):
        self.root = Node("directory", 0o755)
        self.root.entries["lost+found"] = Node("directory", 0o700)

    def find(self, path, kind):
        node = self.root
        parts = path.split("/")
        for i, part in enumerate(parts):
            wanted = kind if i == len(parts) - 1 else "directory"
            if node.kind != "directory" or part not in node.entries:
                raise Refused(f"there is no {path}", ("/".join(parts[:i + 1]), wanted))
            node = node.entries[part]
        if kind and node.kind != kind:
            raise Refused(f"{path} is a {node.kind}")
        return node

    def place(self, path):
        """The directory's node and the name in it."""
        folder, _, name = path.rpartition("/")
        return (self.find(folder, "directory") if folder else self.root), name

    def free_place(self, path):
        folder, name = self.place(path)
        if name in folder.entries:
            raise Refused(f"{path} exists")
        return folder, name

    def apply(self, line):
        words = line.split()
        getattr(self, "do_" + words[0])(*words[1:])

    def do_sync(self):
        pass

    do_commit = do_sync

    def do_create(self, path):
        folder, name = self.free_place(path)
        folder.entries[name] = Node("file", 0o644)

    def do_mkdir(self, path):
        folder, name = self.free_place(path)
        folder.entries[name] = Node("directory", 0o755)

    def do_symlink(self, path, target):
        folder, name = self.free_place(path)
        folder.entries[name] = Node("symlink", 0, target.encode())

    def do_write(self, path, offset, length, pattern):
        node = self.find(path, "file")
        at = len(node.data) if offset == "end" else int(offset)
        before = node.data.ljust(at, b"\0")
        node.data = before[:at] + content(int(length), int(pattern)) + before[at + int(length):]

    def do_text(self, path, *words):
        """What the shell's `append` writes."""
        self.find(path, "file").data += " ".join(words).encode() + b"\n"

    def do_truncate(self, path, size):
        node = self.find(path, "file")
        node.data = node.data[:int(size)].ljust(int(size), b"\0")

    def do_link(self, old, new):
        node = self.find(old, "file")
        folder, name = self.free_place(new)
        folder.entries[name] = node
        node.links += 1

    def do_unlink(self, path):
        node = self.find(path, None)
        if node.kind == "directory":
            raise Refused(f"{path} is a directory")
        folder, name = self.place(path)
        del folder.entries[name]
        node.links -= 1

    def do_rmdir(self, path):
        if self.find(path, "directory").entries:
            raise Refused(f"{path} is not empty")
        folder, name = self.place(path)
        del folder.entries[name]

    def do_rename(self, old, new):
        node = self.find(old, None)
        folder, name = self.place(new)
        target = folder.entries.get(name)
        if target is node and old != new:
            return  # two names of one file: nothing happens
        if (new + "/").startswith(old + "/"):
            raise Refused("into itself")
        if target and (target.kind == "directory") != (node.kind == "directory"):
            raise Refused("of another kind")
        if target and target.entries:
            raise Refused(f"{new} is not empty")
        old_folder, old_name = self.place(old)
        del old_folder.entries[old_name]
        folder.entries[name] = node
        if target:
            target.links -= 1

    def tree(self):
        tree = {}
        self.walk(self.root, "", tree)
        return tree

    def nodes(self):
        """path -> which file it is"""
        found, folders = {}, [("", self.root)]
        while folders:
            path, folder = folders.pop()
            for name, child in folder.entries.items():
                found[f"{path}/{name}"] = child
                if child.kind == "directory":
                    folders.append((f"{path}/{name}", child))
        return found

    def walk(self, node, path, tree):
        if node.kind == "directory":
            links = 2 + sum(child.kind == "directory" for child in node.entries.values())
            tree[path] = ("directory", links, node.mode, b"")
            for name, child in node.entries.items():
                self.walk(child, f"{path}/{name}", tree)
        else:
            tree[path] = (node.kind, node.links, node.mode, node.data)


class Promise:
    """The states that a recording's marks allow at each of its cuts.

    ordered: the content of files goes in place before the commit that it belongs to, as in ext4's default mode. Then a sector
    of a file may be younger than the file's size and name, as young as the last operation that had begun.
    """

    def __init__(self, operations, entries, ordered=False):
        model = Model()
        self.operations, self.ordered = operations, ordered
        self.trees, self.nodes = [model.tree()], [model.nodes()]  # after the first n operations
        for line in operations:
            model.apply(line)
            self.trees.append(model.tree())
            self.nodes.append(model.nodes())
        self.bounds = list(self.walk(entries))  # for each cut: (least, most) operations

    def walk(self, entries):
        least = most = done = 0
        yield least, most
        for entry in entries:
            if entry.kind == "mark":
                word, number = entry.text.split()[:2]
                number = int(number)
                if word == "begin":
                    most = number + 1
                elif word in ("done", "seen"):  # seen: that it was done is known from then on
                    done = number + 1
                    if self.operations[number] == "sync":
                        least = done
            yield least, most

    def complaint(self, cut, tree):
        """None where the tree is one of those allowed, else a sentence."""
        least, most = self.bounds[cut]
        for n in range(least, most + 1):
            if tree == self.trees[n] or self.ordered and self.is_younger(n, most, tree):
                return None
        return (f"none of the states after {least} to {most} operations; against that after {least}: "
                f"{difference(self.trees[least], tree)}")

    def is_younger(self, n, most, tree):
        """The tree is that after n operations, but for sectors of files that later operations wrote."""
        wanted = self.trees[n]
        if wanted.keys() != tree.keys():
            return False
        for path, entry in wanted.items():
            got = tree[path]
            if got == entry:
                continue
            if got[:3] != entry[:3] or entry[0] != "file" or len(got[3]) != len(entry[3]):
                return False
            node = self.nodes[n][path]
            later = [self.content_of(node, m) for m in range(n, most + 1)]
            for at in range(0, len(got[3]), SECTOR):
                end = min(at + SECTOR, len(got[3]))
                if not any(data is not None and data.ljust(end, b"\0")[at:end] == got[3][at:end] for data in later):
                    return False
        return True

    def content_of(self, node, n):
        """The bytes of a file after n operations; None where it was gone."""
        for path, other in self.nodes[n].items():
            if other is node:
                return self.trees[n][path][3]
        return None


def describe(entry):
    if entry is None:
        return "nothing"
    kind, links, mode, data = entry
    return f"{kind}, {links} links, mode {mode:o}, {len(data)} bytes"


def difference(wanted, got):
    for path in sorted(set(wanted) | set(got)):
        a, b = wanted.get(path), got.get(path)
        if a == b:
            continue
        if a and b and a[:3] == b[:3] and len(a[3]) == len(b[3]):
            at = next(i for i in range(len(a[3])) if a[3][i] != b[3][i])
            return f"{path or '/'} differs from byte {at} on"
        return f"{path or '/'} should be {describe(a)}, is {describe(b)}"
    return "no difference"
