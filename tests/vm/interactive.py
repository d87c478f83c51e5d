#!/usr/bin/python3
"""The machine of the tests with its console in this terminal: what `tools/run vm` starts.  usage: interactive.py BUILD"""

import os
import pathlib
import sys

import image

kernel, initramfs = image.build_image(pathlib.Path(sys.argv[1]).resolve(), [image.ROOT / "units/examples"])
print("Booting; log in as root, `gpcsup poweroff` ends it (or Ctrl-A X, which pulls the plug).", flush=True)
command = image.qemu_command(kernel, initramfs) + ["-chardev", "stdio,id=console,mux=on,signal=off", "-serial", "chardev:console",
                                                   "-mon", "chardev=console,mode=readline"]
os.execvp(command[0], command)
