#!/usr/bin/python3
"""Builds what the virtual machine boots: Debian's cloud kernel, and an initramfs with our programs as they are installed.

Nothing here needs root. The kernel package is fetched with apt-get once and kept in build/vm/kernel; the initramfs has
busybox as its userland, the programs of `cmake --install`, the libraries they need, and the modules of a virtio disk.

usage: image.py BUILD [UNITS-DIRECTORY...]     prints the paths of the kernel and the initramfs
"""

import gzip
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CACHE = pathlib.Path(os.environ.get("GPCSUP_VM_CACHE", ROOT / "build/vm"))
BUSYBOX = pathlib.Path("/bin/busybox")
MODULES = ["virtio_pci", "virtio_blk", "ext4", "crc32c"]
EXTRA_PROGRAMS = {f"tests/support/{name}": f"usr/bin/{name}" for name in ("misbehave", "forker", "compat_calls")}  # tools/run builds them, too

FILES = {  # what a machine has beside us; everything that is ours comes from `cmake --install`
    "etc/passwd": "root::0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
                  "guest::1000:1000:guest:/home/guest:/bin/sh\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\nguest:x:1000:\n",
    "etc/hostname": "gpcsup\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\n",
    "etc/profile": "export PATH=/usr/bin:/usr/sbin:/bin:/sbin\nPS1='gpcsup:\\w\\$ '\n",
    "etc/motd": "\nThis is gpcsup as PID 1. Try `gpcsup`, `gpcsup tree`, `gpcsup --help`; `gpcsup poweroff` ends it.\n\n",
    # The shipped console unit is off, because a machine may have another init; here there is none.
    "etc/gpcsup/units/console.d/vm.toml": "enabled = true\n",
}
FOLDERS = ["proc", "sys", "dev", "run", "tmp", "root", "home/guest", "var/log", "mnt", "bin", "sbin", "usr/bin", "usr/sbin"]


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, **options)


def fetch_kernel():
    """The directory of an unpacked linux-image package (boot/, lib/modules/)."""
    kernel = CACHE / "kernel"
    if (kernel / "complete").exists():
        return kernel
    CACHE.mkdir(parents=True, exist_ok=True)
    depends = run("apt-cache", "depends", "linux-image-cloud-amd64", capture_output=True, text=True).stdout
    package = re.search(r"Depends: (linux-image-\S+)", depends).group(1)
    with tempfile.TemporaryDirectory(dir=CACHE) as place:
        run("apt-get", "-qq", "download", package, cwd=place, stderr=subprocess.DEVNULL)
        archive = next(pathlib.Path(place).glob("*.deb"))
        shutil.rmtree(kernel, ignore_errors=True)
        run("dpkg-deb", "-x", archive, kernel)
    version = next((kernel / "lib/modules").iterdir()).name
    run("/sbin/depmod", "-b", kernel, version)
    (kernel / "complete").touch()
    return kernel


def module_files(modules):
    """The files, relative to the modules directory, of MODULES and of what they need; built-in ones have none."""
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, others = line.split(":")
        needs[pathlib.Path(path).stem] = [path, *others.split()]
    aliases = re.findall(r"^alias (\S+) (\S+)", (modules / "modules.alias").read_text(), re.M)
    wanted = set()
    for name in MODULES:
        for real in [name] + [module for alias, module in aliases if alias == name]:
            wanted.update(needs.get(real, []))
    return sorted(wanted)


def libraries_of(program):
    """What the dynamic linker would load; nothing for a static program."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True)
    return re.findall(r"(/\S+) \(0x", listed.stdout) if listed.returncode == 0 else []


def place_file(source, target, mode=0o755):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def stage(root, build, kernel, unit_folders, without):
    """The file tree of the initramfs, WITHOUT some files of it."""
    for name in FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    run("cmake", "--install", build, "--prefix", "/usr", "--strip", env=dict(os.environ, DESTDIR=str(root)),
        stdout=subprocess.DEVNULL)
    for folder in ("usr/share/doc", "usr/share/man", "usr/share/bash-completion"):
        shutil.rmtree(root / folder, ignore_errors=True)
    for name, place in EXTRA_PROGRAMS.items():
        place_file(build / name, root / place)
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for folder in unit_folders:
        shutil.copytree(folder, root / "etc/gpcsup/units", dirs_exist_ok=True)
    place_file(BUSYBOX, root / "bin/busybox")
    for applet in run(BUSYBOX, "--list-full", capture_output=True, text=True).stdout.split():
        link = root / applet
        if not link.exists() and not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to("/bin/busybox")
    for program in [path for path in root.rglob("*") if path.is_file() and not path.is_symlink() and os.access(path, os.X_OK)]:
        for library in libraries_of(program):
            place_file(library, root / library.lstrip("/"))
    modules = next((kernel / "lib/modules").iterdir())
    inside = root / "lib/modules" / modules.name
    for path in module_files(modules):
        place_file(modules / path, inside / path, 0o644)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        place_file(modules / name, inside / name, 0o644)
    run("/sbin/depmod", "-b", root, modules.name)
    for name in without:
        (root / name).unlink()


class Archive:
    """A cpio archive in the "newc" form that the kernel unpacks. Everything in it belongs to root."""

    def __init__(self, stream):
        self.stream = stream
        self.inode = 0

    def add(self, name, mode, data=b"", device=(0, 0)):
        self.inode += 1
        encoded = name.encode() + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(encoded), 0]
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        self.padded(header + encoded)
        self.padded(data)

    def padded(self, data):
        self.stream.write(data + b"\0" * (-len(data) % 4))

    def add_tree(self, root):
        for path in sorted(root.rglob("*")):
            name = str(path.relative_to(root))
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                self.add(name, mode, os.readlink(path).encode())
            elif stat.S_ISDIR(mode):
                self.add(name, mode)
            else:
                self.add(name, mode, path.read_bytes())


def build_image(build, unit_folders=(), output=None, without=()):
    """(kernel, initramfs): paths."""
    kernel = fetch_kernel()
    output = output or CACHE / "initramfs"
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as place:
        root = pathlib.Path(place) / "root"
        stage(root, build, kernel, unit_folders, without)
        with gzip.open(output, "wb", compresslevel=1) as stream:
            archive = Archive(stream)
            archive.add("dev", stat.S_IFDIR | 0o755)
            archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))  # the kernel opens it before any init runs
            archive.add_tree(root)
            archive.add("TRAILER!!!", 0)
    return next((kernel / "boot").glob("vmlinuz-*")), output


def qemu_command(kernel, initramfs, arguments="", disk=None):
    """QEMU without KVM, which the machines we run on rarely give us: four CPUs on four NUMA nodes, serial console."""
    command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max",
               "-smp", "4", "-m", "1G", "-no-reboot", "-display", "none"]
    for node in range(4):
        command += ["-object", f"memory-backend-ram,id=m{node},size=256M",
                    "-numa", f"node,nodeid={node},memdev=m{node},cpus={node}"]
    # no_timer_check: the kernel counts ticks against a loop at boot, and an emulator that others keep from running fails that.
    command += ["-kernel", str(kernel), "-initrd", str(initramfs),
                "-append", f"console=ttyS0 panic=-1 quiet no_timer_check rdinit=/usr/sbin/gpc-init {arguments}".strip()]
    if disk:
        command += ["-drive", f"file={disk},format=raw,if=none,id=disk,cache=writethrough", "-device", "virtio-blk-pci,drive=disk"]
    return command


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    print(*build_image(pathlib.Path(sys.argv[1]).resolve(), [pathlib.Path(name) for name in sys.argv[2:]]))
