"""The image of the process that holds a pod's namespaces, made here: no registry is asked for one."""

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

SOURCE = """
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int s) { (void)s; _exit(0); }
static void reap(int s) { (void)s; while (waitpid(-1, NULL, WNOHANG) > 0) {} }
int main(void) { signal(SIGINT, end); signal(SIGTERM, end); signal(SIGCHLD, reap); for (;;) pause(); }
"""


def write_pause(directory: Path, name: str) -> Path:
    """The archive of an image of this name."""
    layer = directory / "pause"
    layer.mkdir()
    source = directory / "pause.c"
    source.write_text(SOURCE)
    subprocess.run(["gcc", "-static", "-Os", "-o", layer / "pause", source], check=True)
    archive = directory / "pause.tar"
    _write_image(archive, layer, name)
    return archive


def _write_image(archive: Path, layer: Path, name: str) -> None:
    """An OCI archive of one layer."""
    work = archive.with_suffix(".oci")
    blobs = work / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    with tarfile.open(work / "layer.tar", "w") as tar:
        tar.add(layer / "pause", "pause")

    def blob(content: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {
            "mediaType": f"application/vnd.oci.image.{kind}",
            "digest": f"sha256:{digest}",
            "size": len(content),
        }

    content = (work / "layer.tar").read_bytes()
    (work / "layer.tar").unlink()
    packed = blob(content, "layer.v1.tar")
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [packed["digest"]]},
    }
    described = blob(json.dumps(config).encode(), "config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": described, "layers": [packed]}  # fmt: skip
    entry = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    entry["annotations"] = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
    (work / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (work / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    with tarfile.open(archive, "w") as tar:
        for path in sorted(work.iterdir()):
            tar.add(path, path.name)
    shutil.rmtree(work)
