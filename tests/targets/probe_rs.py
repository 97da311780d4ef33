#!/usr/bin/env python3
"""Writes probe_rs.toml: what probe-rs knows of the chips that targets/*.toml name.

    git clone https://github.com/probe-rs/probe-rs && git -C probe-rs checkout v0.32.0
    python3 tests/targets/probe_rs.py probe-rs

Takes a clone of probe-rs (a bare one will do) and reads probe-rs/targets/*.yaml at HEAD. Per chip: the
instruction set of its first core, and the memories of that core, neighbours joined: `flash` is what probe-rs
calls non-volatile and bootable, `ram` is RAM. Needs PyYAML and git.
"""

import pathlib
import subprocess
import sys

import yaml


def tagged(loader, suffix, node):
    if isinstance(node, yaml.MappingNode):
        return {**loader.construct_mapping(node, deep=True), "kind": suffix}
    return suffix


def joined(ranges):
    out = []
    for start, end in sorted(ranges):
        if out and start <= out[-1][1]:
            out[-1][1] = max(out[-1][1], end)
        else:
            out.append([start, end])
    return out


def main():
    yaml.SafeLoader.add_multi_constructor("!", tagged)
    clone = sys.argv[1]
    git = lambda *words: subprocess.check_output(["git", "-C", clone, *words], text=True)
    root = pathlib.Path(__file__).resolve().parents[2] / "targets"
    wanted = set()
    for file in sorted(root.glob("**/*.toml")):
        for line in file.read_text().splitlines():
            if line.startswith('probe_rs = "'):
                wanted.add(line.split('"')[1])
    found = {}
    for path in git("ls-tree", "-r", "--name-only", "HEAD", "probe-rs/targets").split():
        text = git("show", f"HEAD:{path}")
        if not any(name in text for name in wanted):
            continue
        for variant in yaml.safe_load(text)["variants"]:
            for name in {variant["name"], *variant.get("package_variants", [])} & wanted:
                found[name] = (path, variant)
    version = next(l.split('"')[1] for l in git("show", "HEAD:Cargo.toml").splitlines() if l.startswith("version"))
    lines = [
        "# Written by probe_rs.py, which says how to write it anew.",
        f'version = "{version}"',
        f'commit = "{git("rev-parse", "HEAD").strip()}"',
    ]
    for name in sorted(found):
        path, variant = found[name]
        core = variant["cores"][0]
        mine = [m for m in variant["memory_map"] if core["name"] in m["cores"]]
        span = lambda m: (m["range"]["start"], m["range"]["end"])
        flash = joined(span(m) for m in mine if m["kind"] == "Nvm" and (m.get("access") or {}).get("boot"))
        ram = joined(span(m) for m in mine if m["kind"] == "Ram")
        show = lambda ranges: "[" + ", ".join(f"[{a:#010x}, {b:#010x}]" for a, b in ranges) + "]"
        lines += [
            "",
            "[[chip]]",
            f'name = "{name}"',
            f'file = "{path.rsplit("/", 1)[1]}"',
            f'core = "{core["type"]}"',
            f"flash = {show(flash)}",
            f"ram = {show(ram)}",
        ]
    (pathlib.Path(__file__).parent / "probe_rs.toml").write_text("\n".join(lines) + "\n")
    if missing := wanted - found.keys():
        sys.exit(f"probe-rs does not know {', '.join(sorted(missing))}")


main()
