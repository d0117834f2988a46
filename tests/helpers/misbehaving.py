"""Entry point and package with a use case that misbehaves on request, for tests of failing processes."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from tests.helpers.entry_points import install

VERSION = "20261120T231800Z-0a1b2c3d"

MISBEHAVING = """
import ctypes, os, re, subprocess, sys, warnings

from recsys.artifacts import current_name
from recsys.contract import Item, Response

print("a banner at import")


class Loaded:
    def __init__(self, models_dir):
        self.name = current_name(models_dir)

    def warm(self):
        pass


def load(models_dir, *, full, resident_limit):
    return Loaded(models_dir)


def recommend(request, loaded, db, *, shop, now, deadline, monotonic, threads):
    match request.user_id:
        case "print":
            print("a stray line")
            sys.__stdout__.write("another\\n")
            os.write(1, b"from a library\\n")
            libc = ctypes.CDLL(None)
            libc.puts(b"from C")
            libc.fflush(None)
            subprocess.run(["echo", "from a child"], check=True)
            sys.stderr.write(ascii(sys.stdin.read()) + " caf\\u00e9")
        case "busy":
            sys.stderr.write("busy\\n")
            while True:
                pass
        case "holding":
            sys.stderr.write("busy\\n")
            re.match("(a+)+$", "a" * 64 + "b")
        case "defect":
            raise KeyError("a defect")
        case "exit":
            sys.exit(0)
        case "memory":
            bytearray(2**50)
        case "threads":
            sys.stderr.write(os.environ["OPENBLAS_NUM_THREADS"])
        case "large":
            return Response("large", "BMF", loaded.name, (), (), "model", {}, ("x" * 2**20,))
    return Response(request.user_id, "BMF", loaded.name, (Item(1, 0.5),), (), "model")
"""


def install_misbehaving(folder: Path) -> Path:
    """Put them into a folder, with an empty database and a version in name only, and return the folder."""
    install(folder)
    shutil.rmtree(folder / "recsys" / "recommending")
    package = folder / "recsys" / "recommending"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "recommend.py").write_text(MISBEHAVING, encoding="utf-8")
    (package / "loading.py").write_text("from recsys.recommending.recommend import load\n", encoding="utf-8")
    (folder / "models").mkdir()
    (folder / "models" / "CURRENT").write_text(VERSION, encoding="utf-8")
    (folder / "empty").mkdir()
    sqlite3.connect(folder / "shop.sqlite").close()
    return folder
