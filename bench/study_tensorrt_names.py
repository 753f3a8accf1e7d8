"""Whether TensorRT's published bindings have the names that fastmatte uses.

    python -m bench.study_tensorrt_names tensorrt-8.5.3.1-cp310-*.whl --python python3.10
    python -m bench.study_tensorrt_names tensorrt_cu13_bindings-11.*-cp311-*.whl

The wheel's Python module is imported for real, with empty libraries in place of TensorRT's own,
which are gigabytes and of no use without a GPU. It is the same module that a user imports: what it
has and what it lacks is what any machine sees.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from fastmatte.engines import tensorrt as ours

#: What begins the names that the bindings look for in TensorRT's libraries.
OURS = ("create", "get", "initLib", "_ZN6nv", "_ZN8nv", "_ZN11nv", "_ZN14nv")

LOOK = """
import json, sys
sys.path.insert(0, sys.argv[1])
import tensorrt as trt
def has(name):
    place = trt
    for part in name.split("."):
        if not hasattr(place, part):
            return False
        place = getattr(place, part)
    return True
names = json.load(sys.stdin)
print(json.dumps([trt.__version__, {name: has(name) for name in names}]))
"""


def look(wheel: Path, python: str, names: list[str]) -> tuple[str, dict[str, bool]]:
    """Return the version of a wheel, and which names it has."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        root = Path(folder)
        for name in archive.namelist():
            if name.endswith((".py", "tensorrt.so")) and ".dist-info/" not in name:
                archive.extract(name, root)
        if (root / "tensorrt_bindings").is_dir():
            (root / "tensorrt_bindings").rename(root / "tensorrt")
        module = next(root.glob("tensorrt/tensorrt.so"))
        source = root / "empty.c"
        undefined = subprocess.run(
            ["nm", "-D", "--undefined-only", module], capture_output=True, text=True, check=True
        ).stdout.split()
        functions = sorted(
            {name for name in undefined if name.startswith(OURS) and "@" not in name}
        )
        source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in functions))
        needed = subprocess.run(
            ["readelf", "-d", module], capture_output=True, text=True, check=True
        ).stdout
        for library in {w.strip("[]") for w in needed.split() if w.startswith("[libnv")}:
            made = module.parent / library
            subprocess.run(
                ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", made, source],
                check=True,
            )
        result = subprocess.run(
            [python, "-c", LOOK, str(root)],
            input=json.dumps(names),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={"LD_LIBRARY_PATH": str(module.parent), "PATH": ""},
        )
        version, found = json.loads(result.stdout)
        return version, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--python", default=sys.executable)
    arguments = parser.parse_args()
    groups = {
        "in all": ours.IN_ALL,
        "only old": ours.ONLY_OLD,
        "only between": ours.ONLY_BETWEEN,
        "only new": ours.ONLY_NEW,
    }
    names = [name for group in groups.values() for name in group]
    version, found = look(arguments.wheel, arguments.python, names)
    for heading, group in groups.items():
        has = sum(found[name] for name in group)
        print(f"{version}: {heading}: {has} of {len(group)}")
        lacking = [name for name in group if not found[name]]
        if lacking and has:
            print(f"  lacks {', '.join(lacking)}")


if __name__ == "__main__":
    main()
