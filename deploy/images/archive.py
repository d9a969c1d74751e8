#!/usr/bin/env python3
"""Writes a directory as an OCI image archive of one layer, without a daemon and without privileges.

The same directory gives the same bytes: entries are sorted, owned by root, and dated to the epoch. The archive is what
`ctr images import`, `kind load image-archive`, `k3d image import` and `skopeo copy oci-archive:` take.
"""
import argparse
import gzip
import hashlib
import io
import json
import os
import tarfile


def entry(path, name):
    """The tar header of one file: what depends on the machine or the moment is left out."""
    info = tarfile.TarInfo(name)
    stat = os.lstat(path)
    info.mode = stat.st_mode & 0o7777
    if os.path.islink(path):
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, os.readlink(path), 0o777
    elif os.path.isdir(path):
        info.type = tarfile.DIRTYPE
    elif os.path.isfile(path):
        # Hard links are written as files of their own.
        info.size = stat.st_size
    else:
        raise SystemExit(f"archive: {path} is neither a file, a directory nor a link")
    return info


def layer(root):
    """All of root as one tar, as bytes: the images of this project are small."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for directory, directories, files in os.walk(root):
            directories.sort()
            for name in sorted(directories + files):
                path = os.path.join(directory, name)
                info = entry(path, os.path.relpath(path, root))
                if info.isreg():
                    with open(path, "rb") as file:
                        tar.addfile(info, file)
                else:
                    tar.addfile(info)
    return out.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def to_json(value):
    return json.dumps(value, sort_keys=True).encode()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="the archive to write")
    parser.add_argument("--name", required=True, help="the image's full name with its tag")
    parser.add_argument("--root", required=True, help="the directory that becomes the image's root")
    parser.add_argument("--config", default="{}", help="the image's configuration as JSON: Entrypoint, User, Env, …")
    arguments = parser.parse_args()

    kind = "application/vnd.oci.image."
    uncompressed = layer(arguments.root)
    compressed = gzip.compress(uncompressed, 6, mtime=0)
    config = to_json({
        "architecture": "amd64",
        "os": "linux",
        "config": json.loads(arguments.config),
        "rootfs": {"type": "layers", "diff_ids": [digest(uncompressed)]},
    })
    manifest = to_json({
        "schemaVersion": 2,
        "mediaType": kind + "manifest.v1+json",
        "config": {"mediaType": kind + "config.v1+json", "digest": digest(config), "size": len(config)},
        "layers": [{"mediaType": kind + "layer.v1.tar+gzip", "digest": digest(compressed), "size": len(compressed)}],
    })
    index = to_json({
        "schemaVersion": 2,
        "mediaType": kind + "index.v1+json",
        "manifests": [{
            "mediaType": kind + "manifest.v1+json",
            "digest": digest(manifest),
            "size": len(manifest),
            "platform": {"architecture": "amd64", "os": "linux"},
            "annotations": {
                "io.containerd.image.name": arguments.name,
                "org.opencontainers.image.ref.name": arguments.name.rsplit(":", 1)[1],
            },
        }],
    })
    # Tools of Docker's make look for this file.
    docker = to_json([{
        "Config": "blobs/sha256/" + digest(config)[7:],
        "RepoTags": [arguments.name],
        "Layers": ["blobs/sha256/" + digest(compressed)[7:]],
    }])

    files = [("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'), ("index.json", index), ("manifest.json", docker)]
    files += [("blobs/sha256/" + digest(blob)[7:], blob) for blob in (config, manifest, compressed)]
    with tarfile.open(arguments.out, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    print(f"{arguments.name}: {len(uncompressed) / 1e6:.1f} MB, {len(compressed) / 1e6:.1f} MB compressed, {digest(manifest)}")


if __name__ == "__main__":
    main()
